"""`cityproof demo`: the whole flow on one machine, with what a newcomer should see go wrong and right."""
