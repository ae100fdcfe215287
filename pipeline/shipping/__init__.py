"""Judge a shipment: readings, gaps and a limits profile in, a verdict with its reasons out. Pure."""
