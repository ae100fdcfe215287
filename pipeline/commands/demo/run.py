"""The demo's course: run the city, prove points, let an intruder alter some, show that exactly these fail."""

import asyncio
import json
import random
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from pipeline.commands.demo.auditor import enrol_auditor
from pipeline.commands.demo.keys import revoke_old_keys
from pipeline.commands.demo.shipments import SCENARIO, ShipmentStory
from pipeline.commands.demo.table import live_table
from pipeline.commands.demo.watch import Latencies, Watch
from pipeline.commands.reading import reader_of
from pipeline.commands.times import format_time
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.edges.sqlite_points import PointCounts, read_points
from pipeline.embedded import RunningCity, embedded_city
from pipeline.folder import SHARDS, CityFolder, open_city
from pipeline.ports import Point
from pipeline.verify.point import verify_point
from pipeline.verify.prove import Prover
from pipeline.wire.errors import UnavailableError, VerificationError

PROVED = 500
ALTERED = 20
ROTATED = 1
REFRESH_S = 0.5
SETTLE_S = 20.0
STOP_S = 75.0
FIRST_WAIT_S = 60.0
RATE_SPAN_S = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a person asked for."""

    root: Path
    scenario: str
    seed: int
    speed: float
    seconds: float | None
    headless: bool
    summary: Path | None
    port: int | None = None


@dataclass(slots=True)
class Devices:
    """The simulator's process, and the last it said."""

    process: asyncio.subprocess.Process
    status: dict[str, Any] = field(default_factory=dict[str, Any])
    problem: str = ""

    async def listen(self) -> None:
        """Keep its last status until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.status = json.loads(line)

    async def complain(self) -> None:
        """Keep the last line of what it says to people."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.problem = line.decode(errors="replace").strip() or self.problem


@dataclass(slots=True)
class Outcome:
    """What was proved and found at the end."""

    verified: int = 0
    failed: int = 0
    altered: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    found: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stated: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    revoked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    shipments: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def altered_found(self) -> int:
        """How many of the altered points were found."""
        return len(_places(self.altered) & _places(self.found))

    @property
    def false_alarms(self) -> int:
        """How many findings name a point that nobody altered."""
        return len(_places(self.found) - _places(self.altered))


def _places(rows: list[dict[str, Any]]) -> set[tuple[str, str, int]]:
    return {(row["device"], row["quantity"], row["time_us"]) for row in rows}


async def run(plan: Plan) -> int:
    """Run the demo. Exit 0: everything held; 1: something did not."""
    console = Console(quiet=plan.headless)
    folder, keys = open_city(plan.root)
    watch = Watch(Latencies(folder.devices / "sends.csv", time.time()))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    console.print(f"[bold]cityproof demo[/] in {folder.root}  (Ctrl-C ends it)")
    newly = not folder.findings.exists()
    async with (
        embedded_city(folder, 0, watch.on_published) as city,
        _serve_files(plan, console),
    ):
        if newly:
            await enrol_auditor(city, keys)
        before = await city.stages.points.counts()
        watching = asyncio.create_task(watch.run(city.stages.bus, SHARDS))
        story = ShipmentStory(folder, keys, city) if plan.scenario == SCENARIO else None
        try:
            devices = await _run_devices(plan, folder, city, watch, before, stopping, console, story)
            counts = await _settle(devices, city, watch, before)
            outcome = Outcome()
            if story is not None:
                with console.status("shipments are delivered and judged by the log"):
                    outcome.shipments = await story.end(_until_s(devices.status))
            with console.status("the key that a device has rotated out is revoked"):
                rotations = devices.status.get("rotations", [])
                outcome.revoked = await revoke_old_keys(folder, city, rotations)
            await _prove_and_tamper(plan, folder, city, console, outcome)
            await _check_alive(city, watching)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return _report(plan, console, _summary(devices.status, counts, watch, outcome), outcome)


@asynccontextmanager
async def _serve_files(plan: Plan, console: Console) -> AsyncGenerator[None]:
    """Serve checkpoint and tiles to whoever wants to look, if a port was asked for."""
    if plan.port is None:
        yield
        return
    from pipeline.edges.http_server import serve, web_app
    from pipeline.web import STATIC

    async with serve(web_app(reader_of(plan.root), STATIC), "127.0.0.1", plan.port) as (host, port):
        console.print(f"verify proofs at http://{host}:{port}/ (checkpoint and tiles beside it)")
        yield


async def _run_devices(
    plan: Plan,
    folder: CityFolder,
    city: RunningCity,
    watch: Watch,
    before: PointCounts,
    stopping: asyncio.Event,
    console: Console,
    story: ShipmentStory | None,
) -> Devices:
    async with _start_devices(plan, folder, city) as devices:
        ended = asyncio.create_task(devices.process.wait())
        stop = asyncio.create_task(stopping.wait())
        failed = asyncio.create_task(_first_end(city))
        waits = {ended, stop, failed}
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            rates: list[tuple[float, int]] = []
            while True:
                done, _ = await asyncio.wait(waits, timeout=REFRESH_S, return_when=asyncio.FIRST_COMPLETED)
                live.update(await _frame(plan, devices, city, watch, before, rates))
                if story is not None and devices.status.get("phase") == "measuring":
                    story.begin(_until_s(devices.status))
                if ended in done or failed in done:
                    break
                if stop in done:
                    waits.discard(stop)
                    devices.process.send_signal(signal.SIGINT)
        for task in (ended, stop, failed):
            task.cancel()
        if failed in done:
            city.stages.task.result()
    if devices.process.returncode != 0:
        raise UnavailableError("the simulated devices", devices.problem or "they ended without a word")
    return devices


def _until_s(status: dict[str, Any]) -> float:
    """Return the simulated time up to which devices have measured."""
    return float(status.get("simulated_to_s") or status["simulated_s"])


async def _first_end(city: RunningCity) -> None:
    await asyncio.wait({city.stages.task})


async def _frame(
    plan: Plan,
    devices: Devices,
    city: RunningCity,
    watch: Watch,
    before: PointCounts,
    rates: list[tuple[float, int]],
) -> Any:
    watch.latencies.join()
    now = await city.stages.points.counts()
    counts = PointCounts(now.stored - before.stored, now.superseded - before.superseded)
    rates.append((time.monotonic(), counts.stored + counts.superseded))
    while rates[0][0] < rates[-1][0] - RATE_SPAN_S:
        rates.pop(0)
    span_s = rates[-1][0] - rates[0][0]
    rate = (rates[-1][1] - rates[0][1]) / span_s if span_s > 0 else 0.0
    return live_table(f"{plan.scenario}, seed {plan.seed}", devices.status, watch, counts, rate)


@asynccontextmanager
async def _start_devices(plan: Plan, folder: CityFolder, city: RunningCity) -> AsyncGenerator[Devices]:
    arguments = {
        "--scenario": plan.scenario,
        "--seed": plan.seed,
        "--speed": plan.speed,
        "--broker": f"mqtt://{city.host}:{city.port}",
        "--policy": folder.policy,
        "--enrol": folder.authority_key,
        "--dir": folder.devices,
        "--truth": folder.root / "truth.json",
        "--faults": "all",
        "--rotate": ROTATED,
        "--status": "json",
    }
    if plan.seconds is not None:
        arguments["--seconds"] = plan.seconds
    words = [str(word) for pair in arguments.items() for word in pair]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pipeline.cli",
        "simulate",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is ours to pass on, once.
    )
    devices = Devices(process)
    ears = [asyncio.create_task(devices.listen()), asyncio.create_task(devices.complain())]
    try:
        yield devices
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        await asyncio.gather(*ears)


async def _settle(devices: Devices, city: RunningCity, watch: Watch, before: PointCounts) -> PointCounts:
    """Wait until everything published has its place, or for as long as that may take."""
    published = int(devices.status.get("published", 0)) - int(devices.status.get("waiting", 0))
    deadline = time.monotonic() + SETTLE_S
    while True:
        now = await city.stages.points.counts()
        counts = PointCounts(now.stored - before.stored, now.superseded - before.superseded)
        placed = counts.stored + counts.superseded + watch.refused.total()
        if (placed >= published and watch.published_size >= watch.size) or time.monotonic() > deadline:
            watch.latencies.join()
            return counts
        await asyncio.sleep(REFRESH_S / 5)


async def _check_alive(city: RunningCity, watching: asyncio.Task[None]) -> None:
    for task in (city.stages.task, watching):
        if task.done():
            task.result()


async def _prove_and_tamper(
    plan: Plan, folder: CityFolder, city: RunningCity, console: Console, outcome: Outcome
) -> None:
    chance = random.Random(plan.seed)  # noqa: S311 - a demo that can be repeated, not a secret
    with console.status("proving points picked at random, and verifying the proofs"):
        await asyncio.to_thread(_prove_some, folder, chance, outcome)
    console.print(f"proved and verified {outcome.verified} points picked at random, {outcome.failed} failed")
    with console.status(f"another process alters {ALTERED} stored points"):
        listing = folder.state / "altered.json"
        module = "pipeline.commands.demo.tamper"
        seed = secrets.randbits(32) if plan.seconds is None else plan.seed
        await _child("-m", module, str(folder.points), str(ALTERED), str(seed), str(listing))
    with console.status("every stored point is compared with its leaf, by a process that is told nothing"):
        # The audit ends, its findings in the log, before this one reads what was altered.
        broker = f"mqtt://{city.host}:{city.port}"
        told = await _child("-m", "pipeline.cli", "audit", str(folder.root), "--broker", broker, "--json")
        outcome.found = [json.loads(line) for line in told.splitlines()]
        outcome.stated = await _stated(folder, outcome.found)
    outcome.altered = json.loads(listing.read_text(encoding="utf-8"))


async def _stated(folder: CityFolder, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those findings that are under a checkpoint: all, or as many as are after some time."""
    deadline = time.monotonic() + SETTLE_S
    told = {_identity(row) for row in found}
    while True:
        listed = json.loads(await _child("-m", "pipeline.cli", "findings", str(folder.root), "--json"))
        stated = [row for row in listed if _identity(row) in told]
        if len(stated) >= len(told) or time.monotonic() > deadline:
            return stated
        await asyncio.sleep(REFRESH_S)


def _identity(row: dict[str, Any]) -> str:
    """Return what makes a finding that was told the one that is listed in the log."""
    return json.dumps([row[name] for name in ("reason", "device", "quantity", "time_us", "noticed_ms")])


async def _child(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out


def _prove_some(folder: CityFolder, chance: random.Random, outcome: Outcome) -> None:
    policy, authorities = load_policy(folder.policy), load_authorities(folder.authorities)
    prover = Prover(reader_of(folder.root), policy)
    with read_points(folder.points) as reader:
        picked = _sample(reader.scan(), chance)
    for number, point in enumerate(picked):
        path = folder.proofs / f"{number:04}.proof"
        path.write_bytes(prover.prove(point.ref, point.quantity, point.time_us))
        try:
            found = verify_point(path.read_bytes(), policy, authorities)
        except VerificationError:
            outcome.failed += 1
            continue
        same = found.record.value == point.value and found.statement.issuer == point.device
        outcome.verified += same
        outcome.failed += not same


def _sample(points: Iterable[Point], chance: random.Random) -> list[Point]:
    """Return `PROVED` of the points, each as likely as any other, holding no more than that."""
    kept: list[Point] = []
    for number, point in enumerate(points):
        if number < PROVED:
            kept.append(point)
        elif (place := chance.randrange(number + 1)) < PROVED:
            kept[place] = point
    return kept


def _summary(status: dict[str, Any], counts: PointCounts, watch: Watch, outcome: Outcome) -> dict[str, Any]:
    return {
        "published": status.get("published", 0),
        "stored": counts.stored,
        "superseded": counts.superseded,
        "waiting": status.get("waiting", 0),
        "refused": dict(sorted(watch.refused.items())),
        "injected": status.get("refused", {}),
        "duplicates": watch.duplicates,
        "blocks": watch.blocks,
        "log_size": watch.published_size,
        "verified": outcome.verified,
        "failed": outcome.failed,
        "altered": len(outcome.altered),
        "altered_found": outcome.altered_found,
        "false_alarms": outcome.false_alarms,
        "findings_in_log": len(outcome.stated),
        "rotated": len(status.get("rotations", [])),
        "revoked": len(outcome.revoked),
        "shipments": dict(Counter(row["verdict"] for row in outcome.shipments)),
        "latency_p50_s": round(watch.latencies.percentile(0.5), 3),
        "latency_p99_s": round(watch.latencies.percentile(0.99), 3),
    }


def _report(plan: Plan, console: Console, summary: dict[str, Any], outcome: Outcome) -> int:
    for key in outcome.revoked:
        place = "epoch {}, sequence {}".format(*key["ends"])
        console.print(f"{key['issuer']} changed its key at {place}; the old one, {key['key']}, is revoked:")
        console.print(f"  what it signed before stays; `cityproof device show {key['issuer']} {plan.root}`")
    for row in outcome.shipments:
        console.print(f"{row['verdict']}: {row['shipment']} ({row['logger']})", highlight=False)
        for reason in row["reasons"] if row["verdict"] != "in_limits" else ():
            console.print(f"  {reason}", highlight=False)
    for row in outcome.found:
        where = f"{row['device']} {row['quantity']} {format_time(row['time_us'])}"
        console.print(f"  [red]{row['reason']}[/] {where}: signed {row['signed']}, stored {row['stored']}")
    found, others = summary["altered_found"], summary["false_alarms"]
    stated = summary["findings_in_log"]
    console.print(f"altered {summary['altered']}, of these found {found}; found besides: {others}")
    console.print(f"{stated} signed findings are in the log now; `cityproof findings {plan.root}` lists them")
    refused = sum(summary["refused"].values())
    placed = summary["stored"] + summary["superseded"] + summary["waiting"] + refused
    console.print(
        f"{summary['published']:,} records sent = {summary['stored']:,} stored + {summary['superseded']:,} "
        f"superseded + {refused:,} refused + {summary['waiting']:,} waiting; half of them provable within "
        f"{summary['latency_p50_s']:.2f} s, 99 of 100 within {summary['latency_p99_s']:.2f} s"
    )
    text = json.dumps(summary, indent=1)
    if plan.headless:
        print(text)
    if plan.summary is not None:
        plan.summary.write_text(text + "\n", encoding="utf-8")
    console.print(f"Everything it made is in {plan.root}. Go on with")
    for command in ("verify {}/proofs/0000.proof", "inspect {}/proofs/0000.proof", "findings {}", "fsck {}"):
        console.print("  cityproof " + command.format(plan.root), highlight=False)
    for row in outcome.shipments[:1]:
        console.print(f"  cityproof shipment judge {row['shipment']} --dir {plan.root}", highlight=False)
    held = (
        placed == summary["published"]
        and summary["refused"] == summary["injected"]
        and summary["failed"] == 0
        and summary["altered"] == summary["altered_found"]
        and summary["false_alarms"] == 0
        and summary["findings_in_log"] == summary["altered"]
        and summary["revoked"] == summary["rotated"]
    )
    if not held:
        console.print("[bold red]something did not hold; the summary says what")
    return 0 if held else 1


def default_root() -> Path:
    """Return a new folder below `demo/`, named by the time; `demo/latest` leads to it."""
    root = Path("demo") / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    root.mkdir(parents=True, exist_ok=True)
    latest = root.parent / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(root.name)
    return root
