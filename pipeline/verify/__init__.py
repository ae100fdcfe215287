"""What an outsider needs: point proofs checked offline against a policy and an authorities file. Pure."""
