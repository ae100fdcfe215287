"""`cityproof monitor`: follow a log from its own stored state, and report what is not as it should be."""

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.commands.reading import is_url, open_log, trust_file
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.edges.files import LocalFiles
from pipeline.log.tiles import ReadFile
from pipeline.verify.monitor import STATE_PATH, Monitor, Patience
from pipeline.verify.reports import Level, Report
from pipeline.wire.errors import InputError, MissingError, VerificationError
from pipeline.wire.reasons import Reason

TOLD_MAX = 10  # Of one reason at once, for people.
TOLD_SOME = 5
KEEP_S = 5.0  # How often it is kept how far it came, while there is much to read.
IN_ORDER, REPORTED, UNCHECKED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Question:
    """Which log is to be followed, against what, how, and where it is remembered."""

    where: str
    policy: Path | None
    authorities: Path | None
    token_file: Path | None
    state: Path | None
    once: bool
    interval_s: float
    patience: Patience


class Watch:
    """A monitor at work: what it says goes to people, what it knows to its folder."""

    def __init__(self, question: Question, read: ReadFile, *, as_json: bool) -> None:
        where = question.where
        policy = load_policy(trust_file(where, question.policy, "policy.txt"))
        authorities = load_authorities(trust_file(where, question.authorities, "authorities.txt"))
        folder = question.state or _default_state(where)
        self._files = LocalFiles(folder)
        self._as_json = as_json
        self._told = self._alarmed = False
        bodies = not is_url(where) or question.token_file is not None
        if not bodies:
            sys.stderr.write("cityproof: bodies are for auditors; without a token they are not looked at\n")
        self.monitor = Monitor(read, policy, authorities, question.patience, bodies=bodies)
        self._restore(folder)

    def _restore(self, folder: Path) -> None:
        state = self._files.read(STATE_PATH)
        if state is None:
            return
        try:
            self.monitor.restore(state, self._files.read)
        except (VerificationError, MissingError) as error:
            remedy = "Name the policy it began with, or another folder to begin anew."
            raise InputError("--state", f"{folder} cannot be gone on with: {error}", remedy) from error

    async def step(self) -> None:
        """Look at the log once, and check all that is new."""
        now_s = int(time.time())
        await asyncio.to_thread(self.monitor.look, now_s)
        kept_s = time.monotonic()
        while await asyncio.to_thread(self.monitor.advance, now_s):
            self._tell_all()
            if time.monotonic() - kept_s > KEEP_S:  # The state is large where there are many signers.
                await self._keep()
                kept_s = time.monotonic()
        self._tell_all()
        await self._keep()

    async def _keep(self) -> None:
        """Remember what has been told.

        A crash before this, or between two of the files, makes the next start say some of it again: what is
        told is told once or twice, and never not at all.
        """
        await self._files.write_many(self.monitor.kept())

    def _tell_all(self) -> None:
        alike: dict[tuple[Level, Reason, bool], list[Report]] = {}
        for report in self.monitor.reports.take():
            self._told |= not report.over
            self._alarmed |= report.level is Level.ALARM and not report.over
            alike.setdefault((report.level, report.reason, report.over), []).append(report)
            if self._as_json:
                print(json.dumps({"time": _now(), **report._asdict()}, ensure_ascii=False), flush=True)
        if not self._as_json:
            for reports in alike.values():
                _print(reports)

    def end(self) -> int:
        """Say how far it came; return the exit code."""
        checked, size = self.monitor.position
        standing = self.monitor.standing
        if self._as_json:
            print(json.dumps({"checked": checked, "size": size, "standing": len(standing)}))
        else:
            print(f"{checked} of {size} entries checked, {len(standing)} things not as they should be")
        if self._alarmed or any(report.level is Level.ALARM for report in standing):
            return REPORTED
        if checked < size or any(report.reason is Reason.LOG_SILENT for report in standing):
            return UNCHECKED
        return REPORTED if self._told or standing else IN_ORDER


async def run(question: Question, *, as_json: bool) -> int:
    """Follow the log until Ctrl-C, or once. Exit 0: in order; 1: something was reported; 2: not checked."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    with open_log(question.where, question.token_file) as read:
        watch = Watch(question, read, as_json=as_json)
        while not stopping.is_set():
            await watch.step()
            if question.once:
                break
            try:
                async with asyncio.timeout(question.interval_s):
                    await stopping.wait()
            except TimeoutError:
                continue
        return watch.end()


def _print(reports: list[Report]) -> None:
    """Print what is told at once for one reason; of very many the first few."""
    shown = reports if len(reports) <= TOLD_MAX else reports[:TOLD_SOME]
    for report in shown:
        word = "OVER   " if report.over else report.level.upper().ljust(7)
        print(f"{word} {_now()} {report.reason.value}: {report.where}: {report.detail}", flush=True)
    if len(shown) < len(reports):
        more = f"and {len(reports) - len(shown):,} more; --json lists all"
        print(f"{'':28} {reports[0].reason.value}: {more}", flush=True)


def _default_state(where: str) -> Path:
    """Return where a log is remembered unless a folder is named: in it, or here."""
    if not is_url(where):
        return Path(where) / "monitor"
    parts = urlsplit(where)
    return Path("monitor") / f"{parts.netloc}{parts.path}".strip("/").replace("/", "_").replace(":", "_")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
