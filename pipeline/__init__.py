"""cityproof: sensor readings that anyone can verify, from the device's signature to the cosigned log."""
