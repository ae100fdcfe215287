"""`cityproof bench`: ratios measured in one run, since absolute times travel badly."""
