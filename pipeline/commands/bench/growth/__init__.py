"""`cityproof bench growth`: the costs of a log of any size, measured on parts made as they are read."""
