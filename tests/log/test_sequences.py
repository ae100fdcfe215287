"""What a shard remembers of its signers, against a memory that forgets nothing."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.log.sequences import EPOCHS_MAX, RANGES_MAX, REMEMBERED, EpochSequences, Place, SignerSequences
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

DEVICE = "urn:dev:ops:32473-air-7"


def hash_of(text: object) -> bytes:
    """A leaf hash."""
    return sha256(str(text).encode()).digest()


class Oracle:
    """Keeps every statement of one signer, and says from all of them what the next one is."""

    def __init__(self) -> None:
        self.epochs: dict[int, dict[int, list[bytes]]] = {}
        self.floor = 0

    def place(self, epoch: int, sequence: int, leaf_hash: bytes) -> Place | Reason:
        if epoch not in self.epochs and epoch < self.floor:
            return Reason.SEQUENCE_OLD
        known = self.epochs.setdefault(epoch, {})
        following = max(known, default=-1) + 1
        outcome: Place | Reason = Place.NEW
        if sequence not in known:
            known[sequence] = [leaf_hash]
        elif sequence < following - 256:
            outcome = Reason.SEQUENCE_OLD
        elif leaf_hash in known[sequence]:
            outcome = Place.DUPLICATE
        elif len(known[sequence]) == 2:
            outcome = Reason.EQUIVOCATION
        else:
            known[sequence].append(leaf_hash)
            outcome = Place.EQUIVOCATION
        if len(self.epochs) > 4:
            oldest = min(self.epochs)
            del self.epochs[oldest]
            self.floor = oldest + 1
        return outcome

    def find(self, epoch: int, sequence: int) -> bytes | None:
        known = self.epochs.get(epoch, {})
        if sequence in known and sequence >= max(known) + 1 - 256:
            return known[sequence][0]
        return None


def place(memory: SignerSequences, epoch: int, sequence: int, leaf_hash: bytes) -> Place | Reason:
    """What ours says, or why it refuses."""
    try:
        return memory.place(DEVICE, epoch, sequence, leaf_hash)
    except VerificationError as error:
        return error.reason


STATEMENTS = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 1, 2, 3, 4, 5, 7)),
        st.integers(0, 12) | st.integers(250, 262) | st.integers(0, 600),
        st.integers(0, 3),
    ),
    max_size=80,
)


@given(STATEMENTS)
@settings(max_examples=300)
def test_it_says_what_a_memory_of_everything_says(statements: list[tuple[int, int, int]]) -> None:
    """New, duplicate, equivocation, too old: the same at every step, and the same after a snapshot."""
    oracle, memory = Oracle(), SignerSequences()
    for number, (epoch, sequence, version) in enumerate(statements):
        leaf_hash = hash_of((epoch, sequence, version))
        assert place(memory, epoch, sequence, leaf_hash) is oracle.place(epoch, sequence, leaf_hash)
        if number % 7 == 3:
            snapshot = memory.to_bytes()
            memory = SignerSequences.from_bytes(snapshot)
            assert memory.to_bytes() == snapshot
        for around in {sequence, sequence - 1, sequence + 1, sequence - 256, sequence - 255, 0} - set(
            range(-256, 0)
        ):
            assert memory.find(DEVICE, epoch, around) == oracle.find(epoch, around)
    for epoch, known in oracle.epochs.items():
        ours = memory.epochs(DEVICE)[epoch]
        assert ours.next == max(known) + 1
        missing = {sequence for first, last in ours.missing for sequence in range(first, last + 1)}
        assert missing == set(range(ours.next)) - known.keys()
        assert all(a[1] + 1 < b[0] for a, b in zip(ours.missing, ours.missing[1:], strict=False))
    assert memory.epochs(DEVICE).keys() == oracle.epochs.keys()


def test_signers_do_not_mix() -> None:
    """One sequence of two signers is two statements; a signer never seen has nothing."""
    memory = SignerSequences()
    assert memory.place("a", 0, 0, hash_of(1)) is Place.NEW
    assert memory.place("b", 0, 0, hash_of(2)) is Place.NEW
    assert memory.find("a", 0, 0) == hash_of(1)
    assert memory.find("b", 0, 0) == hash_of(2)
    assert memory.find("c", 0, 0) is None
    assert memory.find("a", 1, 0) is None
    assert memory.epochs("c") == {}
    restored = SignerSequences.from_bytes(memory.to_bytes())
    assert restored.find("b", 0, 0) == hash_of(2)
    assert SignerSequences.from_bytes(SignerSequences().to_bytes()).epochs("a") == {}


def test_equal_memories_are_equal_bytes() -> None:
    """The order in which signers and epochs came does not show."""
    one, other = SignerSequences(), SignerSequences()
    statements = [("b", 1, 0), ("a", 2, 5), ("a", 0, 0), ("b", 0, 3)]
    for issuer, epoch, sequence in statements:
        one.place(issuer, epoch, sequence, hash_of(issuer))
    for issuer, epoch, sequence in reversed(statements):
        other.place(issuer, epoch, sequence, hash_of(issuer))
    assert one.to_bytes() == other.to_bytes()
    assert SignerSequences.from_bytes(one.to_bytes()).place("a", 0, 0, hash_of("a")) is Place.DUPLICATE


def test_the_limits_are_the_documented_ones() -> None:
    """256 hashes, four epochs, 1,024 gaps."""
    assert (REMEMBERED, EPOCHS_MAX, RANGES_MAX) == (256, 4, 1024)
    sequences = EpochSequences()
    for sequence in range(300):
        sequences.place(sequence, hash_of(sequence))
    assert sequences.find(43) is None
    assert sequences.find(44) == hash_of(44)
    assert sequences.place(44, hash_of(44)) is Place.DUPLICATE
    with pytest.raises(VerificationError) as refused:
        sequences.place(43, hash_of(43))
    assert refused.value.reason is Reason.SEQUENCE_OLD


def test_both_sides_of_an_equivocation_are_remembered_equally_long() -> None:
    """At 256 sequences either statement of the first is still a duplicate; one later both are too old."""
    sequences = EpochSequences()
    sequences.place(0, hash_of(0))
    assert sequences.place(0, hash_of("other")) is Place.EQUIVOCATION
    for sequence in range(1, REMEMBERED):
        sequences.place(sequence, hash_of(sequence))
    assert sequences.place(0, hash_of(0)) is Place.DUPLICATE
    assert sequences.place(0, hash_of("other")) is Place.DUPLICATE
    sequences.place(REMEMBERED, hash_of(REMEMBERED))
    for leaf_hash in (hash_of(0), hash_of("other")):
        with pytest.raises(VerificationError) as refused:
            sequences.place(0, leaf_hash)
        assert refused.value.reason is Reason.SEQUENCE_OLD


def test_memory_is_bounded() -> None:
    """However far apart sequences are, a signer's epoch takes 8 kB of hashes; others older than 256 go."""
    sequences = EpochSequences()
    for sequence in range(0, 2000, 2):
        sequences.place(sequence, hash_of(sequence))
        sequences.place(sequence, hash_of((sequence, "other")))
    assert len(sequences.hashes) <= REMEMBERED * 32
    assert len(sequences.others) <= REMEMBERED // 2 + 1
    assert min(sequences.others) >= sequences.next - REMEMBERED


def test_too_many_gaps_are_refused_until_some_are_filled() -> None:
    """The 1,025th gap is refused and leaves no trace, at the end and by splitting; filling one makes room."""
    sequences = EpochSequences()
    for number in range(RANGES_MAX):
        sequences.place(4 * number + 3, hash_of(number))  # Each leaves a gap of three before it.
    assert len(sequences.missing) == RANGES_MAX
    following = sequences.next

    for sequence in (following + 1, 1):
        with pytest.raises(VerificationError) as refused:
            sequences.place(sequence, hash_of(sequence))
        assert refused.value.reason is Reason.SEQUENCE_GAPS
        assert (sequences.next, len(sequences.missing)) == (following, RANGES_MAX)
    assert sequences.place(following, hash_of("next")) is Place.NEW
    assert sequences.place(0, hash_of(0)) is Place.NEW  # At a gap's edge: still as many.
    assert sequences.place(2, hash_of(2)) is Place.NEW
    assert sequences.place(1, hash_of(1)) is Place.NEW  # One gap less.
    assert sequences.place(5, hash_of(5)) is Place.NEW  # And one split in two.
    assert len(sequences.missing) == RANGES_MAX


def test_gaps_cannot_be_multiplied_from_within() -> None:
    """Filling one wide gap at every second place makes 1,024 of it, and then no more; its ends may shrink."""
    sequences = EpochSequences()
    sequences.place(10 * RANGES_MAX, hash_of("far"))
    for sequence in range(1, 2 * RANGES_MAX - 1, 2):
        sequences.place(sequence, hash_of(sequence))
    assert len(sequences.missing) == RANGES_MAX
    with pytest.raises(VerificationError) as refused:
        sequences.place(3 * RANGES_MAX, hash_of("middle"))
    assert refused.value.reason is Reason.SEQUENCE_GAPS
    for end in (2 * RANGES_MAX - 2, 10 * RANGES_MAX - 1):
        assert sequences.place(end, hash_of(end)) is Place.NEW
    assert sequences.missing[-1] == (2 * RANGES_MAX - 1, 10 * RANGES_MAX - 2)


def test_a_gap_filled_late_is_new_once() -> None:
    """Beyond the window nothing is remembered of it: a repeat is refused as old and never a second leaf."""
    sequences = EpochSequences()
    sequences.place(1000, hash_of(1000))
    assert sequences.place(5, hash_of(5)) is Place.NEW
    assert sequences.find(5) is None
    with pytest.raises(VerificationError) as refused:
        sequences.place(5, hash_of(5))
    assert refused.value.reason is Reason.SEQUENCE_OLD
    assert sequences.find(1000) == hash_of(1000)  # 1000 and 744 share a slot; so do 5 and 261.


def test_a_third_statement_under_one_identity_is_refused() -> None:
    """One leaf, one more as evidence against the signer, and that is all; both stay duplicates."""
    sequences = EpochSequences()
    places = [sequences.place(0, hash_of(version)) for version in (1, 2, 2, 1)]
    assert places == [Place.NEW, Place.EQUIVOCATION, Place.DUPLICATE, Place.DUPLICATE]
    with pytest.raises(VerificationError) as refused:
        sequences.place(0, hash_of(3))
    assert refused.value.reason is Reason.EQUIVOCATION
    assert sequences.find(0) == hash_of(1)


def test_a_contradiction_is_remembered_as_long_as_its_sequence() -> None:
    """At the last sequence of the window both statements are still duplicates: no third leaf comes of it."""
    sequences = EpochSequences()
    for sequence in range(REMEMBERED):
        sequences.place(sequence, hash_of(sequence))
        if sequence == 0:
            assert sequences.place(0, hash_of("other")) is Place.EQUIVOCATION
    assert sequences.place(0, hash_of("other")) is Place.DUPLICATE
    assert sequences.place(0, hash_of(0)) is Place.DUPLICATE


def test_an_epoch_before_all_four_is_taken_up_once_and_not_remembered() -> None:
    """A leaf of it is in the log from then on, so that epoch is refused as old whatever it brings."""
    memory = SignerSequences()
    for epoch in (5, 6, 7, 8):
        assert place(memory, epoch, 0, hash_of(epoch)) is Place.NEW
    assert place(memory, 3, 0, hash_of(3)) is Place.NEW
    assert sorted(memory.epochs(DEVICE)) == [5, 6, 7, 8]
    assert place(memory, 3, 0, hash_of(3)) is Reason.SEQUENCE_OLD
    assert place(memory, 3, 1, hash_of(31)) is Reason.SEQUENCE_OLD
    assert place(memory, 4, 0, hash_of(4)) is Place.NEW
