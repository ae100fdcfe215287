"""`cityproof run witness`: cosign a log's checkpoints over HTTP, as another department would."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.commands.stopping import heed_signals
from pipeline.commands.verify import load_policy
from pipeline.edges.clock import SystemClock
from pipeline.edges.files import LocalFiles, held_folder
from pipeline.edges.http_server import serve, witness_app
from pipeline.edges.keyfile import load_or_create_key
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey, is_name
from pipeline.stages.witness import Witness
from pipeline.wire.errors import InputError


async def run(directory: Path, guard: Path, name: str, policy: Path, host: str, port: int) -> int:
    """Run until Ctrl-C or SIGTERM; cosigns for the logs that the policy names."""
    if not is_name(name):
        remedy = "Use a URL without its scheme: eeb.example/witness"
        raise InputError("--name", f"{name!r} is no key name", remedy)
    logs = {key.name: key for key in load_policy(policy).logs}
    state = directory / "state"
    # Two witnesses on one memory would each know half of what was cosigned.
    with held_folder(state), held_folder(guard):
        signer = NoteSigner(name, load_or_create_key(directory / "witness.key", name))
        witness = Witness(signer, logs, LocalFiles(state), LocalFiles(guard), SystemClock())
        return await _serve(witness, signer, logs, host, port)


async def _serve(witness: Witness, signer: NoteSigner, logs: Iterable[str], host: str, port: int) -> int:
    stopping = heed_signals()
    async with serve(witness_app(witness), host, port) as (at_host, at_port):
        print(f"cosigning for {', '.join(logs)} at http://{at_host}:{at_port}", flush=True)
        print(
            f"witness NAME {encode_vkey(signer.key(TYPE_COSIGNATURE))} http://{at_host}:{at_port}", flush=True
        )
        await stopping.wait()
    return 0
