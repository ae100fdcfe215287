"""Accounts against their definition: every statement has one fate, and they add up."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.verify.accounts import Accounts, Fate

EPOCHS, SEQUENCES = 2, 12
identity = st.tuples(st.integers(0, EPOCHS - 1), st.integers(0, SEQUENCES - 1))


@given(
    logged=st.dictionaries(identity, st.sampled_from(Fate)),
    refused=st.lists(st.tuples(identity, st.sampled_from(["key_unknown", "sequence_old"]))),
    arrived=st.lists(identity),
)
def test_every_statement_has_one_fate(
    logged: dict[tuple[int, int], Fate],
    refused: list[tuple[tuple[int, int], str]],
    arrived: list[tuple[int, int]],
) -> None:
    """What is in the log is not refused, what is refused does not wait, what nobody knows of is missing."""
    accounts = Accounts()
    for (epoch, sequence), fate in logged.items():
        accounts.place("d", epoch, sequence, fate)
    for (epoch, sequence), reason in refused:
        accounts.refuse("d", epoch, sequence, reason)
    for epoch, sequence in arrived:
        accounts.arrive("d", epoch, sequence)
    found = list(accounts.all())
    known = {*logged, *(each for each, _ in refused), *arrived}
    if not known:
        assert found == []
        return
    published = {
        (epoch, sequence)
        for epoch in {epoch for epoch, _ in known}
        for sequence in range(1 + max(sequence for of, sequence in known if of == epoch))
    }
    turned_away = {each for each, _ in refused} - logged.keys()
    waiting = set(arrived) - logged.keys() - turned_away
    fates = Counter(logged.values())
    (account,) = found
    assert account.balances()
    assert account.published == len(published)
    assert account.stored == fates[Fate.STORED]
    assert account.superseded == fates[Fate.SUPERSEDED]
    assert account.waiting == fates[Fate.WAITING] + len(waiting)
    assert account.refused == len(turned_away) == account.reasons.total()
    assert account.missing == fates[Fate.MISSING] + len(published - known)


def test_a_contradiction_stands_beside_the_account() -> None:
    """It is at a sequence that another statement has."""
    accounts = Accounts()
    accounts.place("b", 1, 0, Fate.STORED)
    accounts.contradict("b")
    accounts.place("a", 1, 1, Fate.STORED)
    first, second = accounts.all()
    assert (first.issuer, first.published, first.missing) == ("a", 2, 1)
    assert (second.published, second.stored, second.equivocations) == (1, 1, 1)
