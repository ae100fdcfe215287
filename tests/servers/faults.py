"""The fault matrix as a table: what fails, how, when it has to be back, and which test shows it.

`python -m tests.servers.faults` writes it into docs/recovery.md, between its marks; a test compares the two.
"""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.city_on_servers import Scene
from tests.support.proxy import Mode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recovery.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
Inject = Callable[[Scene, float], None]


@dataclass(frozen=True)
class Fault:
    """A fault that is brought about under load, and is over when `inject` returns.

    Attributes:
        component: What fails.
        what: How.
        back_s: How long it may take, once the fault is over, until something that arrived after it stands in
            the archive of every shard; or, where `stored`, until there are new points.
        inject: Brings it about, for so many seconds where it lasts.
        lasts_s: How long in the short form; chaos has it longer.
        needs: What the machine must have for it.
        stored: Whether new points, and not a new checkpoint, show that it is back.
    """

    component: str
    what: str
    back_s: float
    inject: Inject
    lasts_s: float = 0.0
    needs: tuple[str, ...] = ()
    stored: bool = False

    @property
    def name(self) -> str:
        """What a test calls it."""
        return f"{self.component} {self.what}"


def kill_server(name: str) -> Inject:
    def inject(scene: Scene, _lasts_s: float) -> None:
        scene.servers.kill(name)
        scene.servers.start(name)

    return inject


def kill_service(name: str) -> Inject:
    def inject(scene: Scene, _lasts_s: float) -> None:
        scene.kill(name)
        scene.start(name)

    return inject


def pause_service(name: str) -> Inject:
    def inject(scene: Scene, lasts_s: float) -> None:
        scene.signal(name, signal.SIGSTOP)
        last(scene, lasts_s, paused=name)
        scene.signal(name, signal.SIGCONT)

    return inject


def stop_server(name: str) -> Inject:
    def inject(scene: Scene, lasts_s: float) -> None:
        scene.servers.kill(name)
        try:
            last(scene, lasts_s)
        finally:
            scene.servers.start(name)

    return inject


def network(mode: Mode, *names: str) -> Inject:
    def inject(scene: Scene, lasts_s: float) -> None:
        for name in names:
            scene.servers.network[name].set(mode)
        try:
            last(scene, lasts_s)
        finally:
            for name in names:
                scene.servers.network[name].set(Mode.PASS)

    return inject


def fill_disk(name: str) -> Inject:
    def inject(scene: Scene, lasts_s: float) -> None:
        scene.servers.fill(name)
        try:
            last(scene, lasts_s)
        finally:
            scene.servers.free(name)
            # After a full disk a server may hold in memory what it has acknowledged: it is started again.
            scene.servers.kill(name)
            scene.servers.start(name)

    return inject


def kill_devices(scene: Scene, _lasts_s: float) -> None:
    scene.kill_devices()
    scene.simulate(LONG_S)


def last(scene: Scene, seconds: float, paused: str = "") -> None:
    """Let a fault last; services that end for it are started again, as a supervisor does."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        scene.supervise(but=paused)
        time.sleep(0.1)


LONG_S = 36_000.0
ALL = ("mosquitto", "kafka", "influx")
FAULTS: Sequence[Fault] = (
    Fault("Mosquitto", "kill -9", 5, kill_server("mosquitto")),
    Fault("bridge", "kill -9", 5, kill_service("bridge")),
    Fault("bridge", "paused", 5, pause_service("bridge"), 4),
    Fault("Kafka", "kill -9", 30, kill_server("kafka")),
    Fault("Kafka", "disk full", 60, fill_disk("kafka"), 3, ("tmpfs",)),
    Fault("aggregator", "kill -9", 15, kill_service("aggregator")),
    Fault("aggregator", "paused while another takes over", 15, pause_service("aggregator"), 9),
    Fault("log", "kill -9", 15, kill_service("log")),
    Fault("log", "paused", 15, pause_service("log"), 4),
    Fault("publisher", "kill -9", 15, kill_service("publisher")),
    Fault("projector", "kill -9", 15, kill_service("projector"), stored=True),
    Fault("courier", "kill -9", 15, kill_service("courier")),
    Fault("InfluxDB", "kill -9", 30, kill_server("influx"), stored=True),
    Fault("InfluxDB", "disk full", 30, fill_disk("influx"), 3, ("tmpfs",), stored=True),
    Fault("network", "cut", 10, network(Mode.CUT, *ALL), 3),
    Fault("network", "slow", 10, network(Mode.SLOW, *ALL), 3),
    Fault("network", "half-open", 10, network(Mode.HALF_OPEN, *ALL), 3),
    Fault("devices", "kill -9", 10, kill_devices),
)

# What other tests show: component, fault, test by module and name.
ELSEWHERE = (
    (
        "InfluxDB",
        "stopped under load, then wiped",
        "servers/test_rebuild.test_influxdb_stopped_wiped_and_rebuilt",
    ),
    ("archive, tiles, state", "wiped", "servers/test_rebuild.test_archive_tiles_and_state_are_made_again"),
    (
        "bridge, aggregator, log, publisher",
        "killed at every fsync, rename, write and send of a block cycle",
        "crash/test_stage_kill.test_a_stage_killed_at_any_call_goes_on",
    ),
    (
        "aggregator",
        "paused past its session; another takes over",
        "servers/test_sharing.test_a_paused_aggregator_comes_back_fenced",
    ),
    (
        "witnesses",
        "below quorum",
        "stages/test_publisher.test_without_a_quorum_nothing_is_published_until_it_is_back",
    ),
    ("disk", "fsync fails", "crash/test_stage_kill.test_an_fsync_that_fails_ends_the_process"),
    ("disk", "torn last write", "edges/test_crashes.test_killed_at_any_moment"),
    ("disk", "bit flip", "verify/test_fsck.test_a_flipped_bit_is_found_in_its_file"),
    ("clock", "runs backwards, an hour off", "stages/test_simulation.test_a_city_survives"),
)


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| component | fault | back within | test |", "|---|---|---|---|"]
    lines += [
        f"| {fault.component} | {fault.what} | {fault.back_s:g} s | `servers/test_faults` [{fault.name}] |"
        for fault in FAULTS
    ]
    lines += [f"| {component} | {what} | | `{test}` |" for component, what, test in ELSEWHERE]
    return "\n".join(lines)


def main() -> None:
    """Write the table into its page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
