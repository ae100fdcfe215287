"""The simulated city: what sensors measure, and a truth that only scoring may read; a process of its own."""
