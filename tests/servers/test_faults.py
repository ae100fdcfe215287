"""A city under load on servers of its own: every fault of the matrix, one after the other, and the account.

Faults are in tests/servers/faults.py. Each test waits until every shard has published something that arrived
after the fault, or until new points are stored, within the stated time; the last one counts what devices hold
receipts for.
"""

from collections.abc import Generator

import pytest

from tests.conftest import lack_of_tmpfs
from tests.servers.faults import FAULTS, LONG_S, Fault
from tests.support.city_on_servers import Scene

pytestmark = [pytest.mark.needs("servers", "mosquitto"), pytest.mark.serial, pytest.mark.timeout(600)]
DISK_MB = 320
FIRST_S = 180.0  # Services begin all at once, on a machine that may be busy.


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene]:
    """A city that has begun to publish."""
    scene = Scene.open(tmp_path_factory.mktemp("faults"), disks_mb=0 if lack_of_tmpfs() else DISK_MB)
    try:
        scene.start_all()
        scene.simulate(LONG_S)
        scene.await_growth(FIRST_S)
        yield scene
    finally:
        scene.end()


@pytest.mark.parametrize(
    "fault", [pytest.param(f, id=f.name, marks=pytest.mark.needs(*f.needs)) for f in FAULTS]
)
def test_it_is_back_in_time(scene: Scene, fault: Fault) -> None:
    """Under load, after each fault, what arrives then is published, or stored, within the stated time."""
    fault.inject(scene, fault.lasts_s)
    if fault.stored:
        scene.await_points(fault.back_s)
    else:
        scene.await_fresh(fault.back_s)


def test_after_all_of_it_nothing_is_lost_or_twice(scene: Scene) -> None:
    """What devices hold a receipt for is one leaf and one set of points each; proofs hold; fsck is clean."""
    scene.kill_devices()
    scene.simulate(2.0)
    scene.account(scene.told())
