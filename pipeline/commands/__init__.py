"""The commands of `cityproof`, one a file: each reads, calls, prints. Heavy imports load where they are used."""
