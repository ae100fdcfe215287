"""fsck in several processes finds what it finds in one: the same places, in the same order."""

import pytest

from pipeline.edges.processes import ExaminingProcesses
from pipeline.verify.fsck import LogCheck
from pipeline.wire.errors import UnavailableError
from tests.support.city import AUTHORITIES, POLICY, ForgedLog, device_in, enrol

BLOCKS = 12
STATEMENTS = 400  # A block: enough for several batches, which several processes share.


class Files:
    """The files of a log, as they go to another process."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def __call__(self, path: str) -> bytes | None:
        return self.files.get(path)


class Failing(Files):
    """Files of which one does not answer."""

    def __call__(self, path: str) -> bytes | None:
        if path == "block/1/009":
            raise UnavailableError("disk", path)
        return super().__call__(path)


@pytest.fixture(scope="module")
def log() -> dict[str, bytes]:
    """A log whose registry grows between blocks, with every kind of wrong statement in it."""
    log = ForgedLog()
    devices = [device_in(1), device_in(1, 1)]
    stranger = device_in(1, 2)
    log.enrol(enrol(devices[0], 0))
    for block in range(BLOCKS):
        statements = [devices[block > BLOCKS // 2].read() for _ in range(STATEMENTS)]
        if block == BLOCKS // 2:
            log.enrol(enrol(devices[1], 1))
        if block in (3, 8):
            statements[5] = bytes(20)
            statements[7] = stranger.read()
            statements[9] = statements[9][:-1] + bytes([statements[9][-1] ^ 1])
            statements[11] = statements[10]
        log.add(1, statements)
    log.publish()
    del log.files["block/1/005"]
    return log.files


def found(files: Files, processes: int) -> list[tuple[str, str, str]]:
    """What fsck finds in so many processes; 0: none but this."""
    examine = ExaminingProcesses(files, processes) if processes else None
    return [
        (finding.path, finding.reason.value, finding.detail)
        for finding in LogCheck(files, POLICY, AUTHORITIES, examine).run()
    ]


def test_processes_find_what_one_finds_in_the_same_order(log: dict[str, bytes]) -> None:
    """Keys that are enrolled midway are known behind that place and not before, in each process."""
    alone = found(Files(log), 0)
    assert {reason for _, reason, _ in alone} >= {
        "cbor_trailing",
        "key_unknown",
        "signature_invalid",
        "block_leaf_twice",
        "file_missing",
    }
    assert found(Files(log), 2) == alone
    assert found(Files(log), 3) == alone


def test_what_does_not_answer_is_no_finding(log: dict[str, bytes]) -> None:
    """It ends the check, wherever it happens, and accuses nobody."""
    for processes in (0, 2):
        with pytest.raises(UnavailableError, match="block/1/009"):
            found(Failing(log), processes)


def test_few_jobs_are_done_here_and_start_no_process() -> None:
    """They are done sooner than a process starts."""
    log = ForgedLog()
    device = device_in(1)
    log.enrol(enrol(device, 0))
    log.add(1, [device.read()])
    log.publish()
    here = Files(log.files)
    here.files["block/1/000"] = b""

    no_process = ExaminingProcesses(here, 0)  # Nothing would ever come back from one.
    findings = list(LogCheck(here, POLICY, AUTHORITIES, no_process).run())
    assert [(finding.path, finding.reason) for finding in findings] == [("block/1/000", "block_shape")]
