"""How far a block may lag the registry: otherwise a city could go on not to know of a revocation."""

from pipeline.log.manifest import Manifest
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


class RegistryLag:
    """Holds blocks to the registry blocks that stand before them in the log.

    Args:
        bound_s: The authorities file's `registry_lag_s`.
    """

    __slots__ = ("_arrivals_ms", "_bound_s")

    def __init__(self, bound_s: int) -> None:
        self._bound_s = bound_s
        self._arrivals_ms: list[int] = []

    def add(self, manifest: Manifest) -> None:
        """Take up the next block of the registry."""
        self._arrivals_ms.append(manifest.arrival_last_ms)

    def check(self, manifest: Manifest) -> None:
        """Check that a block knows every registry block that had arrived long enough before it.

        Raises:
            VerificationError: REGISTRY_LAG.
        """
        unknown = manifest.registry_blocks
        if unknown >= len(self._arrivals_ms):
            return
        lag_ms = manifest.arrival_last_ms - self._arrivals_ms[unknown]
        if lag_ms > self._bound_s * 1000:
            problem = f"registry block {unknown} arrived {lag_ms} ms before; {self._bound_s} s are allowed"
            raise VerificationError(Reason.REGISTRY_LAG, problem)
