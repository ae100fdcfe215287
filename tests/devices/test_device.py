"""A device's chain: what it signs links to what it signed before, under sequences that count from 0."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from devices.device import Chain, Device, new_epoch
from pipeline.wire.keys import SeedSigner
from pipeline.wire.senml import Record, decode_pack
from pipeline.wire.statement import parse_statement, verify_statement

ISSUER = "urn:dev:ops:32473-test-1"


def test_statements_link_and_count() -> None:
    """Each statement's previous is SHA-256(0x00 || the statement before), and sequences count from 0."""
    signer = SeedSigner(bytes(32))
    device = Device(signer, ISSUER, "station/1", new_epoch(1_700_000_000.9))
    previous = bytes(32)
    for sequence in range(5):
        records = [Record("pm2_5", "ug/m3", float(sequence), 1_700_000_000.0 + sequence)]
        signed = device.sign_records(records)
        statement = parse_statement(signed.raw)
        verify_statement(statement, signer.public_key)
        assert (statement.issuer, statement.subject) == (ISSUER, "station/1")
        assert (statement.epoch, statement.sequence) == (1_700_000_000, sequence)
        assert statement.previous == previous
        assert decode_pack(statement.payload, ISSUER) == records
        previous = signed.leaf_hash
        assert previous == sha256(b"\x00" + signed.raw).digest()
    assert device.chain == Chain(1_700_000_000, 5, previous)


def test_a_device_changes_its_key_at_a_place_of_its_chain() -> None:
    """Up to the start the old key signs, from it on the new one; chain and links go on as if nothing was."""
    old, new, newer = SeedSigner(bytes(32)), SeedSigner(b"\x01" * 32), SeedSigner(b"\x02" * 32)
    device = Device(old, ISSUER, "station/1", Chain(5, 7, bytes(32)))
    device.rotate(new, (5, 9))
    record = [Record("pm2_5", "ug/m3", 1.0, 1_700_000_000.0)]
    signed = [device.sign_records(record) for _ in range(4)]
    device.rotate(newer, (5, 11))  # Its place has come: this takes effect at once, and not the one before.
    signed.append(device.sign_records(record))
    for one, key in zip(signed, (old, old, new, new, newer), strict=True):
        verify_statement(parse_statement(one.raw), key.public_key)
    assert [one.sequence for one in signed] == [7, 8, 9, 10, 11]
    assert [parse_statement(one.raw).previous for one in signed[1:]] == [one.leaf_hash for one in signed[:-1]]


@given(
    now_s=st.floats(-1e9, 4e9),
    before=st.integers(-1, 2**40),
    receipted=st.none() | st.binary(min_size=32, max_size=32),
)
def test_an_epoch_is_larger_than_any_before(now_s: float, before: int, receipted: bytes | None) -> None:
    """Whatever the clock says, a new epoch is above the one before, starts at 0, and links if it can."""
    chain = new_epoch(now_s, before=before, receipted=receipted)
    assert chain.epoch > before
    assert chain.epoch >= int(now_s)
    assert chain.sequence == 0
    assert chain.previous == (receipted or bytes(32))
