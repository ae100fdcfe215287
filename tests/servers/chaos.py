"""`make chaos`: random faults over all processes and servers of a city under load, and the account of it.

    python -m tests.servers.chaos --seconds 1800 --seed 7

Devices keep their outboxes and receipts through it all. At the end what they hold a receipt for has to be one
leaf and one set of points each, every proof tried has to hold, and fsck has to be clean.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.conftest import lack_of_tmpfs
from tests.servers.faults import FAULTS, LONG_S, Fault, last
from tests.support.city_on_servers import Scene

FIRST_S = 120.0
BACK_S = 300.0  # Faults overlap with what others left behind: how soon one is back is another test's claim.
PAUSE_S = (0.0, 10.0)
LASTS_TIMES = (0.5, 8.0)
DISK_MB = 2048


def main() -> None:
    """Make chaos, and tell how it went; an account that does not add up is an error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1800.0, help="How long (default: 1800).")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="Decides what happens.")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        run(Path(folder), arguments.seconds, random.Random(arguments.seed))


def run(folder: Path, seconds: float, chance: random.Random) -> None:
    """Make chaos for so long in a folder."""
    lack = lack_of_tmpfs()
    faults = [fault for fault in FAULTS if not (lack and fault.needs)]
    scene = Scene.open(folder, disks_mb=0 if lack else DISK_MB)
    happened: Counter[str] = Counter()
    try:
        scene.start_all()
        scene.simulate(LONG_S)
        scene.await_growth(FIRST_S)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            bring_about(scene, chance.choice(faults), chance, happened)
            last(scene, chance.uniform(*PAUSE_S))
        print(f"after {happened.total()} faults: is it back?", flush=True)
        scene.await_growth(BACK_S)
        scene.kill_devices()
        scene.simulate(2.0)
        told = scene.told(BACK_S)
        scene.account(told)
    finally:
        scene.end()
    for name, number in sorted(happened.items()):
        print(f"{number:>5}  {name}")
    print(f"{told['ever']['receipted']} records receipted: none lost, none twice, all stored; fsck is clean")


def bring_about(scene: Scene, fault: Fault, chance: random.Random, happened: Counter[str]) -> None:
    """Bring a fault about, for longer or shorter than its short form."""
    print(f"{time.strftime('%X')} {fault.name}", flush=True)
    fault.inject(scene, fault.lasts_s * chance.uniform(*LASTS_TIMES))
    happened[fault.name] += 1


if __name__ == "__main__":
    main()
