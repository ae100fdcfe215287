"""Completeness against a slow oracle: every order of arrival, every set of statements missing."""

import random
from hashlib import sha256
from itertools import permutations, product

import pytest

from pipeline.verify import completeness
from pipeline.verify.completeness import (
    NAMED_MAX,
    REMEMBERED,
    RUNS_MAX,
    Closing,
    EpochStart,
    Gap,
    Link,
    Opening,
    Place,
    SignerStatements,
    Span,
)
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

ZEROS = bytes(32)
ISSUER = "urn:dev:ops:32473-air-1"
SECOND = 1_000_000


def leaf(epoch: int, sequence: int, note: str = "") -> bytes:
    """The leaf hash of a statement."""
    return sha256(f"{epoch} {sequence} {note}".encode()).digest()


def previous(epoch: int, sequence: int) -> bytes:
    """What it names as the one before."""
    return leaf(epoch, sequence - 1) if sequence else ZEROS


def add(signer: SignerStatements, sequence: int, epoch: int = 1, **changes: object) -> None:
    """Add the statement of this sequence: its records are of its own minute."""
    at_us = int(str(changes.get("at_us", sequence * 60 * SECOND)))
    named = changes.get("previous", previous(epoch, sequence))
    assert isinstance(named, bytes)
    signer.add(epoch, sequence, named, leaf(epoch, sequence), at_us, at_us + 50 * SECOND)


def of(sequences: list[int]) -> SignerStatements:
    """A signer with these statements, in this order."""
    signer = SignerStatements(ISSUER)
    for sequence in sequences:
        add(signer, sequence)
    return signer


def span(first: int, end: int) -> Span:
    """From one sequence's minute up to another's."""
    return Span(first * 60 * SECOND, end * 60 * SECOND)


def test_the_words_and_limits_are_those_of_the_pages() -> None:
    """What reports say in JSON, how many gaps there may be, and how many places are named."""
    assert [word.value for kind in (Opening, Closing, Link) for word in kind] == [
        *("bracketed", "begins", "open"),
        *("bracketed", "open"),
        *("linked", "reset", "elsewhere", "missing"),
    ]
    assert (RUNS_MAX, NAMED_MAX, REMEMBERED) == (1024, 1024, 32)


def test_a_span_between_two_statements_is_complete() -> None:
    """Every sequence from the one before the span to the one behind it, each naming the one before."""
    shown = of(list(range(4, 11))).over(span(5, 10))
    assert shown.complete
    assert shown.unbroken
    assert (shown.opening, shown.closing) == (Opening.BRACKETED, Closing.BRACKETED)
    assert (shown.first, shown.last, shown.statements) == (Place(1, 4), Place(1, 10), 7)
    assert shown.proven_until_us == (10 * 60 + 50) * SECOND


@pytest.mark.parametrize(
    ("sequences", "opening", "closing"),
    [
        (range(5, 11), Opening.OPEN, Closing.BRACKETED),
        (range(4, 10), Opening.BRACKETED, Closing.OPEN),
        (range(5, 10), Opening.OPEN, Closing.OPEN),
    ],
)
def test_without_a_statement_on_either_side_nothing_is_claimed_there(
    sequences: range, opening: Opening, closing: Closing
) -> None:
    """Unbroken, but what came before or behind is not shown."""
    shown = of(list(sequences)).over(span(5, 10))
    assert (shown.opening, shown.closing) == (opening, closing)
    assert shown.unbroken
    assert not shown.complete


def test_a_bracket_lies_wholly_outside() -> None:
    """Its latest record before the span, or its earliest behind it, to the microsecond."""
    records_end_us = (4 * 60 + 50) * SECOND
    signer = of([4, 5, 6, 7])
    assert signer.over(Span(records_end_us + 1, 7 * 60 * SECOND)).complete
    assert signer.over(Span(records_end_us, 7 * 60 * SECOND)).opening is Opening.OPEN
    assert signer.over(Span(records_end_us + 1, 7 * 60 * SECOND + 1)).closing is Closing.OPEN


def test_the_last_sequence_a_second_time_is_an_equivocation() -> None:
    """As any other would be; and what has a gap is not unbroken."""
    signer = of([4, 5, 6])
    add(signer, 6)
    assert signer.over(span(5, 6)).equivocations == (Place(1, 6),)
    shown = of([4, 6]).over(span(5, 6))
    assert shown.gaps == (Gap(1, 5, 5, leaf(1, 5)),)
    assert not shown.unbroken


def test_an_epoch_that_begins_as_the_one_before_ends_is_no_second_life() -> None:
    """To the microsecond: a record of the new one before the last of the old one is."""
    for earlier_us, overlaps in ((0, False), (1, True)):
        signer = of([0, 1])
        at_us = (60 + 50) * SECOND - earlier_us
        add(signer, 0, epoch=2, previous=leaf(1, 1), at_us=at_us)
        assert signer.over(span(0, 9)).epochs == (EpochStart(2, Link.LINKED, overlaps),)


def test_a_signer_begins_where_it_names_nothing_before() -> None:
    """Sequence 0 that names no statement; one that does has lived before."""
    assert of([0, 1, 2]).over(span(0, 2)).opening is Opening.BEGINS
    assert of([0, 1, 2]).over(span(0, 2)).complete
    older = SignerStatements(ISSUER)
    add(older, 0, previous=leaf(0, 99))
    add(older, 1)
    assert older.over(span(0, 1)).opening is Opening.OPEN
    late = SignerStatements(ISSUER)
    add(late, 5, previous=ZEROS)
    assert late.over(span(5, 6)).opening is Opening.OPEN


def test_a_span_without_bounds_is_never_complete() -> None:
    """Something may always come."""
    shown = of([0, 1, 2]).over(Span())
    assert (shown.opening, shown.closing) == (Opening.BEGINS, Closing.OPEN)
    assert of([3, 4]).over(Span(None, 4 * 60 * SECOND)).opening is Opening.OPEN


def test_of_nothing_nothing_is_shown() -> None:
    """A device that was asked for and has no statement."""
    shown = SignerStatements(ISSUER).over(span(0, 5))
    assert (shown.statements, shown.first, shown.last, shown.proven_until_us) == (0, None, None, None)
    assert (shown.opening, shown.closing) == (Opening.OPEN, Closing.OPEN)
    assert not shown.complete
    only = SignerStatements(ISSUER)
    only.add_equivocation(1, 5)
    assert only.over(span(0, 5)).first is None
    assert only.over(span(0, 5)).equivocations == (Place(1, 5),)


def oracle(sequences: list[int]) -> tuple[Gap, ...]:
    """The gaps between the least and the greatest, by looking at each sequence."""
    missing = [n for n in range(min(sequences), max(sequences)) if n not in sequences]
    firsts = [n for n in missing if n - 1 not in missing]
    lasts = [n for n in missing if n + 1 not in missing]
    return tuple(Gap(1, a, b, leaf(1, b)) for a, b in zip(firsts, lasts, strict=True))


def test_every_order_of_every_set_of_six() -> None:
    """Gaps do not depend on the order in which statements came; each names the hash that is missing."""
    for held in product([False, True], repeat=6):
        sequences = [n for n in range(6) if held[n]]
        for order in permutations(sequences):
            if order:
                shown = of(list(order)).over(span(0, 6))
                assert shown.gaps == oracle(sequences)
                assert (shown.breaks, shown.equivocations) == ((), ())
                assert (shown.first, shown.last) == (Place(1, min(order)), Place(1, max(order)))
                assert shown.proven_until_us == (max(order) * 60 + 50) * SECOND


@pytest.mark.parametrize("seed", range(20))
def test_many_in_any_order(seed: int) -> None:
    """Gaps filled late, from the middle and from the ends."""
    chance = random.Random(seed)
    sequences = chance.sample(range(300), 200)
    assert of(sequences).over(span(0, 300)).gaps == oracle(sequences)
    rest = [n for n in range(300) if n not in sequences]
    chance.shuffle(rest)
    assert of([*sequences, *rest]).over(span(0, 299)).complete


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_gap_is_filled_only_by_the_true_ones(order: tuple[int, ...]) -> None:
    """A statement that its successor does not name, or that names another than its predecessor, is told."""
    for wrong, named in ((2, leaf(1, 1, "another")), (3, leaf(1, 2, "another"))):
        signer = SignerStatements(ISSUER)
        for sequence in order:
            add(signer, sequence, previous=named if sequence == wrong else previous(1, sequence))
        shown = signer.over(span(0, 3))
        assert shown.breaks == (Place(1, wrong),)
        assert not shown.unbroken


def test_two_statements_at_one_place_are_told() -> None:
    """Those that the log names as equivocations, and those that it let pass as readings."""
    signer = of([0, 1, 2])
    signer.add_equivocation(1, 1)
    add(signer, 0, previous=leaf(1, 7))
    shown = signer.over(span(0, 2))
    assert shown.equivocations == (Place(1, 1), Place(1, 0))
    assert shown.statements == 5
    assert not shown.complete


@pytest.mark.parametrize(
    ("named", "link"),
    [
        (leaf(1, 3), Link.LINKED),
        (leaf(1, 2), Link.LINKED),
        (ZEROS, Link.RESET),
        (leaf(1, 4), Link.ELSEWHERE),
    ],
)
def test_an_epoch_links_to_the_one_before(named: bytes, link: Link) -> None:
    """By its sequence 0: to the last statement known to be receipted, to none, or to one that is not here."""
    signer = of([0, 1, 2, 3])
    add(signer, 0, 2, previous=named, at_us=240 * SECOND)
    add(signer, 1, 2, previous=leaf(2, 0), at_us=300 * SECOND)
    shown = signer.over(span(0, 5))
    assert shown.epochs == (EpochStart(2, link, overlaps=False),)
    assert shown.unbroken == shown.complete == (link is Link.LINKED)
    assert (shown.first, shown.last) == (Place(1, 0), Place(2, 1))


def test_an_epoch_whose_beginning_is_missing() -> None:
    """Its first sequences are a gap; how it links is not known."""
    signer = of([0, 1])
    add(signer, 3, 2, at_us=240 * SECOND)
    shown = signer.over(span(0, 4))
    assert shown.gaps == (Gap(2, 0, 2, leaf(2, 2)),)
    assert shown.epochs == (EpochStart(2, Link.MISSING, overlaps=False),)


def test_only_the_last_statements_of_an_epoch_are_remembered() -> None:
    """A link that goes further back cannot be told from one that goes elsewhere."""
    for back, link in ((REMEMBERED, Link.LINKED), (REMEMBERED + 1, Link.ELSEWHERE)):
        signer = of(list(range(100)))
        add(signer, 0, 2, previous=leaf(1, 100 - back), at_us=10_000 * SECOND)
        assert signer.over(span(0, 101)).epochs[0].link is link


def test_two_epochs_that_live_at_once_are_told() -> None:
    """The former one still measures when the later one has begun: one key with two users."""
    signer = of([0, 1, 2, 3])
    add(signer, 0, 2, previous=leaf(1, 1), at_us=100 * SECOND)
    shown = signer.over(span(0, 3))
    assert shown.epochs == (EpochStart(2, Link.LINKED, overlaps=True),)
    assert not shown.unbroken


def test_what_is_remembered_is_bounded() -> None:
    """Gaps up to a number and then a refusal; other places up to a number and then a count."""
    signer = of(list(range(0, 2 * RUNS_MAX, 2)))
    with pytest.raises(VerificationError) as refused:
        add(signer, 2 * RUNS_MAX)
    assert refused.value.reason is Reason.SEQUENCE_GAPS
    add(signer, 1)
    twice = of([0])
    for _ in range(NAMED_MAX + 5):
        twice.add_equivocation(1, 0)
    shown = twice.over(span(0, 1))
    assert (len(shown.equivocations), shown.unnamed) == (NAMED_MAX, 5)


def test_memory_does_not_grow_with_statements() -> None:
    """A signer's million statements in a row are one run."""
    signer = of(list(range(5000)))
    (epoch,) = signer._epochs.values()
    assert len(epoch.runs) == 1
    assert len(epoch.recent) == REMEMBERED
    assert completeness.REMEMBERED == 32
