"""`cityproof init`: a city's folder with its keys and trust files, for services to run on."""

from pathlib import Path

from pipeline.folder import open_city


def run(directory: Path) -> int:
    """Make what the folder lacks, and say where what is."""
    folder, _ = open_city(directory)
    print(f"policy {folder.policy}, authority's key {folder.authority_key}")
    return 0
