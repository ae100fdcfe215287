"""Says of EPCIS documents what other people's Python says: their event hashes, and the faults of a schema.

Run by the interpreter of the environment that `make setup` made of locks/peers.txt, where our packages are
not. Reads one JSON object with the task's name and its data, writes its results. Needs no network: the one
JSON-LD context that our documents name comes along with the generator.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false

import json
import logging
import sys
from pathlib import Path
from typing import Any

from epcis_event_hash_generator.__main__ import epcis_hash_from_file
from jsonschema import Draft7Validator, FormatChecker

Json = dict[str, Any]


def hash_events(data: Json) -> list[list[str]]:
    """Return [hashes, texts before hashing] of the events of a document in a file."""
    logging.disable(logging.CRITICAL)
    hashes, texts = epcis_hash_from_file(data["path"], enforce="JSON")
    return [hashes, texts]


def find_faults(data: Json) -> list[list[str]]:
    """Return of each document the faults that the schema finds, formats and all."""
    schema = json.loads(Path(data["schema"]).read_text(encoding="utf-8"))
    checker = FormatChecker()
    assert {"uri", "date-time"} <= checker.checkers.keys(), "formats that nobody checks prove nothing"
    validator = Draft7Validator(schema, format_checker=checker)
    return [[fault.message for fault in validator.iter_errors(document)] for document in data["documents"]]


TASKS = {"hashes": hash_events, "faults": find_faults}

if __name__ == "__main__":
    task = json.load(sys.stdin)
    json.dump(TASKS[task["task"]](task), sys.stdout)
