"""The append-only log: trees, blocks, receipts, notes, tiles. Pure; shared with devices."""
