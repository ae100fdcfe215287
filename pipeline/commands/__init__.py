"""The commands of `cityproof`, one a file: each reads, calls, prints; heavy imports load where used."""
