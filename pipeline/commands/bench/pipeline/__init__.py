"""`cityproof bench pipeline`: the services on the servers of `make stack`."""
