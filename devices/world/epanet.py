"""EPANET 2.2, the engine inside wntr, called directly.

Importing wntr costs five seconds and 230 MB for plotting and tables that a running city never needs; the
engine itself and the network Net3 are two files of that package. Functions and constants: EPANET 2.2 toolkit
(https://epanet22.readthedocs.io, section "Toolkit"); units of Net3: gal/min, feet, psi, mg/L.
"""

import ctypes
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.wire.errors import InputError

LPS_PER_GPM = 0.0630901964
PA_PER_PSI = 6894.757293168361

# Codes of EPANET's toolkit (epanet2_enums.h).
NODE_ELEVATION, NODE_INITIAL_QUALITY, NODE_SOURCE_QUALITY, NODE_SOURCE_TYPE = 0, 4, 5, 7
NODE_PRESSURE, NODE_QUALITY = 11, 12
LINK_BULK_DECAY, LINK_WALL_DECAY, LINK_FLOW = 6, 7, 8
TIME_DURATION, TIME_HYDRAULIC_STEP, TIME_QUALITY_STEP = 0, 1, 2
COUNT_NODES, COUNT_LINKS, COUNT_CONTROLS = 0, 2, 5
QUALITY_CHEMICAL, SOURCE_MASS, CONTROL_TIMER, SAVE = 1, 1, 2, 1
JUNCTION = 0
_ERROR_FIRST = 100  # Below: warnings, such as a pump out of its range.
_LIBRARIES = {  # The builds of 2.2 that the package has.
    ("Linux", "x86_64"): "linux-x64/libepanet22.so",
    ("Darwin", "x86_64"): "darwin-x64/libepanet22.dylib",
    ("Darwin", "arm64"): "darwin-arm/libepanet2.dylib",
}


def net3_path() -> Path:
    """Return the path of Net3.inp in wntr's library."""
    return _package() / "library" / "networks" / "Net3.inp"


def _package() -> Path:
    spec = find_spec("wntr")
    if spec is None or spec.origin is None:
        raise InputError("package wntr", "is not installed", "Install cityproof with its extra [sim].")
    return Path(spec.origin).parent


def _library_path() -> Path:
    machine = (platform.system(), platform.machine())
    if machine not in _LIBRARIES:
        raise InputError(
            "this machine",
            f"wntr has no EPANET for {' '.join(machine)}",
            "Simulate on Linux x86_64 or on macOS.",
        )
    return _package() / "epanet" / "libepanet" / _LIBRARIES[machine]


class Project:
    """One network in the engine. Times are seconds since the simulation's start, at a local midnight."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library = library
        self._handle = handle

    def call(self, function: str, *arguments: object) -> None:
        """Call a function of the toolkit; an error it reports is a bug of ours."""
        code = getattr(self._library, f"EN_{function}")(self._handle, *arguments)
        assert code < _ERROR_FIRST, f"EPANET error {code} in EN_{function}"

    def count(self, what: int) -> int:
        """Return how many nodes, links or controls there are."""
        found = ctypes.c_int()
        self.call("getcount", what, ctypes.byref(found))
        return found.value

    def node_index(self, name: str) -> int:
        """Return the engine's number of a node."""
        found = ctypes.c_int()
        self.call("getnodeindex", name.encode(), ctypes.byref(found))
        return found.value

    def link_index(self, name: str) -> int:
        """Return the engine's number of a link."""
        found = ctypes.c_int()
        self.call("getlinkindex", name.encode(), ctypes.byref(found))
        return found.value

    def node_name(self, index: int) -> str:
        """Return a node's name."""
        name = ctypes.create_string_buffer(64)
        self.call("getnodeid", index, name)
        return name.value.decode()

    def node_type(self, index: int) -> int:
        """Return whether a node is a junction, a reservoir or a tank."""
        found = ctypes.c_int()
        self.call("getnodetype", index, ctypes.byref(found))
        return found.value

    def node_value(self, index: int, what: int) -> float:
        """Return one value of a node at the simulation's present time."""
        found = ctypes.c_double()
        self.call("getnodevalue", index, what, ctypes.byref(found))
        return found.value

    def set_node_value(self, index: int, what: int, value: float) -> None:
        """Set one value of a node."""
        self.call("setnodevalue", index, what, ctypes.c_double(value))

    def link_value(self, index: int, what: int) -> float:
        """Return one value of a link at the simulation's present time."""
        found = ctypes.c_double()
        self.call("getlinkvalue", index, what, ctypes.byref(found))
        return found.value

    def set_link_value(self, index: int, what: int, value: float) -> None:
        """Set one value of a link."""
        self.call("setlinkvalue", index, what, ctypes.c_double(value))

    def set_time(self, what: int, seconds: int) -> None:
        """Set the duration or a time step."""
        self.call("settimeparam", what, ctypes.c_long(seconds))

    def pattern_of(self, node: int) -> list[float]:
        """Return the multipliers of a junction's demand pattern."""
        pattern, size, value = ctypes.c_int(), ctypes.c_int(), ctypes.c_double()
        self.call("getdemandpattern", node, 1, ctypes.byref(pattern))
        if pattern.value == 0:
            return [1.0]
        self.call("getpatternlen", pattern, ctypes.byref(size))
        found = []
        for period in range(1, size.value + 1):
            self.call("getpatternvalue", pattern, period, ctypes.byref(value))
            found.append(value.value)
        return found

    def add_pattern(self, name: str, multipliers: Sequence[float]) -> int:
        """Add a pattern and return its number."""
        self.call("addpattern", name.encode())
        found = ctypes.c_int()
        self.call("getpatternindex", name.encode(), ctypes.byref(found))
        values = (ctypes.c_double * len(multipliers))(*multipliers)
        self.call("setpattern", found, values, len(multipliers))
        return found.value

    def add_timer(self, link: int, setting: float, at_s: float) -> None:
        """Add a control that gives a link a setting at a time."""
        number = ctypes.c_int()
        self.call(
            "addcontrol",
            CONTROL_TIMER,
            link,
            ctypes.c_double(setting),
            0,
            ctypes.c_double(at_s),
            ctypes.byref(number),
        )

    def timers(self) -> list[int]:
        """Return the numbers of all controls that act at a time, the highest first."""
        kind, link, node = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        setting, level = ctypes.c_double(), ctypes.c_double()
        found = []
        for number in range(self.count(COUNT_CONTROLS), 0, -1):
            references = [ctypes.byref(value) for value in (kind, link, setting, node, level)]
            self.call("getcontrol", number, *references)
            if kind.value == CONTROL_TIMER:
                found.append(number)
        return found

    def run_hydraulics(self) -> Iterator[int]:
        """Solve and keep the hydraulics, stopping at each step for the caller to read it; yields its time."""
        now, step = ctypes.c_long(), ctypes.c_long(1)
        self.call("openH")
        self.call("initH", SAVE)
        while step.value > 0:
            self.call("runH", ctypes.byref(now))
            yield now.value
            self.call("nextH", ctypes.byref(step))
        self.call("closeH")

    def run_quality(self) -> Iterator[int]:
        """Carry the chemical over the kept hydraulics, stopping at each quality step; yields its time."""
        now, left = ctypes.c_long(), ctypes.c_long(1)
        self.call("openQ")
        self.call("initQ", 0)
        while left.value > 0:
            self.call("runQ", ctypes.byref(now))
            yield now.value
            self.call("stepQ", ctypes.byref(left))
        self.call("closeQ")


@contextmanager
def open_project(path: Path) -> Iterator[Project]:
    """Load a network and close it again; the engine's scratch files live and die in a folder of their own."""
    library = ctypes.CDLL(str(_library_path()))
    handle = ctypes.c_void_p()
    with TemporaryDirectory(prefix="cityproof-epanet-") as folder, chdir(folder):
        library.EN_createproject(ctypes.byref(handle))
        project = Project(library, handle)
        try:
            project.call("open", str(path).encode(), os.devnull.encode(), b"")
            yield project
            project.call("close")
        finally:
            library.EN_deleteproject(handle)
