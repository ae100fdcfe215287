"""The simulator: the world's ticks become readings, packs, signed statements, and are sent until receipted.

The world runs in its own process and knows the truth; here only sensors see it. A fleet holds its speed to
what receipts allow: while too many statements wait for theirs, the simulated time stands still.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

from devices.device import Signed
from devices.faults import assign_faults
from devices.feed import Feed
from devices.fleet import DATA_CLASSES, RETRIED, Fleet, Member
from devices.inputs import Site
from devices.journal import Journal, Report
from devices.link import Link
from devices.outbox import Outbox
from devices.packer import Packer
from devices.sensors import accuracy, make_sensor
from devices.sensors.sensor import Sensor
from devices.world.model import TICK_S, Station, Tick
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import UnavailableError
from pipeline.wire.keys import key_id
from pipeline.wire.possession import sign_possession
from pipeline.wire.rotation import Rotation
from pipeline.wire.senml import Record

PACK_RECORDS_MAX = 100
PACK_SPAN_S = 120.0
TURN_S = 0.05
START_S = 60.0
DRAIN_S = 60.0
CALIBRATED_S = 180 * 86_400


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated.

    Attributes:
        scenario: A scenario's name.
        seed: Decides everything that is random, the faults included.
        speed: Simulated seconds per second; 0: as fast as receipts allow.
        seconds: How long to measure; None: until stopped.
        faults: As `devices.faults.assign_faults` takes it.
        truth: Where the world leaves what only scoring may read.
        rotated: How many devices get a new key, each soon after its first statement.
    """

    scenario: str
    seed: int
    speed: float
    seconds: float | None
    faults: str
    truth: Path
    rotated: int = 0


@dataclass(slots=True, eq=False)
class _Rig:
    """A station with its device: what it measures with, and how it packs."""

    station: Station
    sensor: Sensor
    member: Member
    packer: Packer

    def measure(self, tick: Tick) -> Sequence[Record]:
        """Measure one tick."""
        records: Sequence[Record] = self.sensor.measure(tick)
        for fault in self.member.faults:
            records = fault.measure(records)
        return records

    def sign(self, records: Sequence[Record]) -> list[Signed]:
        """Sign the packs that these records complete."""
        return [self.member.device.sign_records(pack) for pack in self.packer.add(records)]

    def finish(self) -> list[Signed]:
        """Sign what was measured and not yet packed."""
        return [self.member.device.sign_records(pack) for pack in self.packer.flush()]


def simulate(site: Site, plan: Plan, stopping: Event, report: Report) -> dict[str, Any]:
    """Run a scenario until `stopping` is set or its seconds are over; then drain, and return the summary.

    Raises:
        InputError: The broker, the log or the folder cannot be used as they are.
        UnavailableError: The world's process or the outbox's disk failed.
    """
    with (
        Outbox(site.outbox) as outbox,
        Feed(plan.scenario, plan.seed, plan.truth) as feed,
        Journal(site.folder, report) as journal,
    ):
        fleet = Fleet(outbox, site.log, Random(f"resend {plan.seed}"), first_sent=journal.first_sent)
        outbox.retry(RETRIED)
        authority = site.authority[1]
        fleet.join([(*site.authority, authority)], authority=True)
        fleet.join(site.signers((station.issuer, station.subject) for station in feed.stations))
        with Link(site.broker, f"cityproof-{authority}", fleet.subscriptions, Random()) as link:
            run = _Run(site, plan, feed, fleet, link, journal, outbox)
            run.enrol(authority, stopping)
            run.measure(stopping)
            run.drain(stopping)
        return journal.summarise(
            fleet,
            outbox,
            scenario=plan.scenario,
            seed=plan.seed,
            simulated_from_s=run.from_s,
            simulated_to_s=run.now_s,
            rotations=run.rotations,
        )


class _Run:
    """One run: enrol, measure, drain."""

    def __init__(
        self, site: Site, plan: Plan, feed: Feed, fleet: Fleet, link: Link, journal: Journal, outbox: Outbox
    ) -> None:
        self._site = site
        self._plan = plan
        self._feed = feed
        self._fleet = fleet
        self._link = link
        self._journal = journal
        self._note = f"simulated until, {plan.scenario} {plan.seed}"
        self._done_s = float(outbox.note(self._note) or b"-inf")  # Ticks of an earlier run in this folder.
        self._rigs = [
            # Half of the devices begin with half a pack: so they do not all sign at once.
            _Rig(
                station,
                make_sensor(station, plan.seed),
                fleet.members[station.issuer],
                Packer(PACK_RECORDS_MAX, PACK_SPAN_S, PACK_SPAN_S / (1 + number % 2)),
            )
            for number, station in enumerate(feed.stations)
        ]
        self._to_rotate: list[_Rig] = []
        self.rotations: list[dict[str, Any]] = []
        self.now_s = 0.0
        self._first = self._wait_for_first()
        self.from_s = self.now_s = self._first.time_s

    def _wait_for_first(self) -> Tick:
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            self._report("starting")
            tick = self._feed.next_tick(TURN_S)
            if tick is not None:
                return tick
        raise UnavailableError("the world's process", f"first tick within {START_S:.0f} s")

    def enrol(self, authority: str, stopping: Event) -> None:
        """Have every station enrolled; its key is valid from its first tick, from now if that lies ahead.

        Rotations that an earlier run has begun are stated too.
        """
        valid_from_s = int(min(self._first.time_s, time.time()))
        self._fleet.enrol(
            self._link,
            authority,
            [_enrolment(rig, authority, valid_from_s) for rig in self._rigs],
            time.monotonic() + START_S,
            stopping,
            lambda: self._report("enrolling"),
        )
        self._state_rotations(self._site.rotations(self._fleet), stopping)
        issuers = [rig.station.issuer for rig in self._rigs]
        for issuer, faults in assign_faults(self._plan.faults, issuers, self._plan.seed).items():
            self._fleet.members[issuer].faults = faults
        # Faults that sign would do so with the new key. Of those that often sign, first one with a backlog.
        honest = [rig for rig in self._rigs if all(fault.name == "offline" for fault in rig.member.faults)]
        honest.sort(key=lambda rig: (rig.station.interval_s, not rig.member.faults))
        self._to_rotate = honest[: self._plan.rotated]

    def measure(self, stopping: Event) -> None:
        """Take ticks at the planned speed, or as fast as receipts allow."""
        interval_s = TICK_S / self._plan.speed if self._plan.speed else 0.0
        due_s = time.monotonic()
        end_s = due_s + (self._plan.seconds or inf)
        tick: Tick | None = self._first
        while not stopping.is_set() and (now_s := time.monotonic()) < end_s:
            if tick is None:
                tick = self._feed.next_tick(0.0)
            if tick is not None and self._fleet.room and now_s >= due_s:
                due_s = max(due_s + interval_s, now_s)  # Lost time is not made up for: that would be a flood.
                self._take(tick)
                self._rotate(stopping)
                tick = None
            else:
                wait_s = min(TURN_S, due_s - now_s) if due_s > now_s else TURN_S
                self._fleet.turn(self._link, wait_s=wait_s)
            self._report("measuring")

    def drain(self, stopping: Event) -> None:
        """Sign what was measured, and send until everything is answered or time is up."""
        signed = [one for rig in self._rigs for one in rig.finish()]
        self._fleet.turn(self._link, signed)
        stopping.clear()  # A second stop ends the draining too: what waits is sent at the next start.
        deadline_s = time.monotonic() + DRAIN_S
        while not self._fleet.idle and time.monotonic() < deadline_s and not stopping.is_set():
            self._fleet.turn(self._link, wait_s=TURN_S)
            self._report("draining")

    def _take(self, tick: Tick) -> None:
        """Have every station measure one tick; what is signed and how far we are is durable together."""
        measured = [rig.measure(tick) for rig in self._rigs]
        self.now_s = tick.time_s + TICK_S
        if tick.time_s <= self._done_s:
            return  # Signed by an earlier run; the sensors have now come as far.
        signed = [one for rig, records in zip(self._rigs, measured, strict=True) for one in rig.sign(records)]
        self._fleet.turn(self._link, signed, notes={self._note: str(tick.time_s).encode()})

    def _rotate(self, stopping: Event) -> None:
        """Give new keys to those devices whose turn has come.

        The old key signs one statement more: until then the other shards have heard of the new one.
        """
        ready = [rig for rig in self._to_rotate if rig.member.device.chain.sequence]
        if not ready:
            return
        self._to_rotate = [rig for rig in self._to_rotate if rig not in ready]
        rotations = []
        for rig in ready:
            device = rig.member.device
            # A crash from here on leaves the next key in its file: the next start states the rotation again.
            starts = device.chain.epoch, device.chain.sequence + 1
            rotations.append(self._site.rotate(self._fleet, device.issuer, starts))
            keys = {"old": rotations[-1].old_kid.hex(), "new": key_id(rotations[-1].public_key).hex()}
            self.rotations.append({"issuer": device.issuer, **keys, "starts": list(starts)})
        self._state_rotations(rotations, stopping)

    def _state_rotations(self, rotations: Sequence[Rotation], stopping: Event) -> None:
        if rotations:
            deadline_s = time.monotonic() + START_S
            authority = self._site.authority[1]
            self._fleet.rotate(
                self._link, authority, rotations, deadline_s, stopping, lambda: self._report("rotating")
            )

    def _report(self, phase: str) -> None:
        self._journal.tick(phase, self._fleet, self._link.problem, simulated_s=self.now_s)


def _enrolment(rig: _Rig, authority: str, valid_from_s: int) -> Enrolment:
    station, end, signer = rig.station, rig.station.beam_end, rig.member.device.signer
    return Enrolment(
        issuer=station.issuer,
        public_key=signer.public_key,
        department=station.department,
        controller=station.department,
        data_class=DATA_CLASSES[station.kind],
        kind=station.kind,
        subject=station.subject,
        area=station.area,
        longitude=station.longitude,
        latitude=station.latitude,
        height_m=station.height_m,
        longitude2=end.longitude if end else None,
        latitude2=end.latitude if end else None,
        height2_m=end.height_m if end else None,
        accuracy=accuracy(station),
        calibrated_until_s=int(time.time()) + CALIBRATED_S,
        valid_from_s=valid_from_s,
        possession=sign_possession(signer, authority, station.issuer),
    )
