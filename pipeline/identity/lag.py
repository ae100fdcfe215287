"""How far a block may lag the registry: otherwise a city could go on not to know of a revocation."""

from pipeline.identity.records import State
from pipeline.log.manifest import Manifest
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


class RegistryLag:
    """Holds blocks to the registry blocks that stand before them in the log.

    Args:
        bound_s: The authorities file's `registry_lag_s`.
        first: The registry block that comes next; those before it are not known here.
    """

    __slots__ = ("_arrivals_ms", "_bound_s", "_first")

    def __init__(self, bound_s: int, first: State = 0) -> None:
        self._bound_s = bound_s
        self._first = first
        self._arrivals_ms: list[int] = []

    def add(self, manifest: Manifest) -> None:
        """Take up the next block of the registry."""
        self._arrivals_ms.append(manifest.arrival_last_ms)

    def forget(self, first: State) -> None:
        """Drop what is known of registry blocks before this one."""
        del self._arrivals_ms[: max(0, first - self._first)]
        self._first = max(first, self._first)

    def check(self, manifest: Manifest) -> None:
        """Check that a block knows every registry block that had arrived long enough before it.

        Raises:
            VerificationError: REGISTRY_LAG.
        """
        unknown = manifest.registry_blocks - self._first
        assert unknown >= 0, "what a block names is recalled once it was forgotten"
        if unknown < len(self._arrivals_ms):
            self.check_against(manifest, self._arrivals_ms[unknown])

    def check_against(self, manifest: Manifest, arrival_ms: int) -> None:
        """Check a block against the arrival of the first registry block that it does not know.

        Raises:
            VerificationError: REGISTRY_LAG.
        """
        lag_ms = manifest.arrival_last_ms - arrival_ms
        if lag_ms > self._bound_s * 1000:
            unknown = manifest.registry_blocks
            problem = f"registry block {unknown} arrived {lag_ms} ms before; {self._bound_s} s are allowed"
            raise VerificationError(Reason.REGISTRY_LAG, problem)
