"""The threat model as a table: who attacks, how, what notices it, for which reason, and which test shows it.

`python -m tests.threats.table` writes it into docs/threats.md, between its marks; a test compares the two.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.threats.operator import BAD_HISTORIES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "threats.md"


@dataclass(frozen=True)
class Threat:
    """A row: actor, attack, what notices or prevents it, the codes it gives, the test by module and name."""

    actor: str
    attack: str
    noticed_by: str
    reasons: str
    test: str


THREATS = (
    Threat(
        "operator",
        "makes any [bad history](#bad-histories): drops, reorders, rewrites, forges",
        "roots, links, receipts, consistency: each history by its own check",
        "as there",
        "test_operator.test_a_bad_history_is_refused_by_its_own_reason",
    ),
    Threat(
        "operator",
        "drops a statement after its receipt",
        "receipt audit: whoever holds the receipt",
        "`receipt_broken`",
        "test_operator.test_a_statement_that_was_receipted_cannot_be_left_out_unnoticed",
    ),
    Threat(
        "operator",
        "never publishes what it has receipted",
        "receipt audit, against the delay that the city promises",
        "`receipt_broken`",
        "test_operator.test_a_receipt_may_run_ahead_of_the_checkpoint_for_as_long_as_is_promised",
    ),
    Threat(
        "operator",
        "shows different trees",
        "witnesses compare and remember in one step; a monitor keeps the evidence",
        "409, 422; `quorum_missing`, `split_view`",
        "test_operator.test_of_two_views_at_most_one_is_cosigned_by_a_quorum",
    ),
    Threat(
        "operator",
        "backdates, by a clock that is an hour behind",
        "times advance within a shard; a monitor that has seen a checkpoint without the block",
        "`block_times`, `cosign_late`",
        "test_operator.test_a_clock_an_hour_behind_is_noticed",
    ),
    Threat(
        "operator",
        "alters, deletes or inserts points in the store",
        "audit: each point against its leaf",
        "`point_altered`, `point_missing`, `point_unexpected`",
        "test_operator.test_a_point_that_was_altered_deleted_or_inserted_is_the_one_that_fails",
    ),
    Threat(
        "device",
        "its key is cloned",
        "both statements are kept; they convict offline",
        "`equivocation`",
        "test_device.test_two_simulators_with_one_key_convict_it",
    ),
    Threat(
        "device",
        "replays",
        "issuer, epoch and sequence are one statement's: 10,000 replays, no leaf",
        "duplicate",
        "test_device.test_ten_thousand_replays_make_no_leaf",
    ),
    Threat(
        "device",
        "its clock is a day ahead or behind",
        "monitor, against arrival; nothing else goes by it",
        "`clock_skew`",
        "test_device.test_a_clock_a_day_off_is_a_finding_about_its_device",
    ),
    Threat(
        "device",
        "floods",
        "the bridge's quota per name: others wait for its burst at the most",
        "`quota_exceeded`",
        "test_device.test_a_flood_delays_others_by_no_more_than_its_quota",
    ),
    Threat(
        "gateway",
        "drops 5 %",
        "receipts that do not come; sequences; the device's own chain: the exact gaps, and filled",
        "`sequence_missing`",
        "test_gateway.test_five_percent_dropped_are_the_exact_gaps_and_are_filled",
    ),
    Threat(
        "gateway",
        "fills a gap with something else",
        "the next statement names the leaf hash of the true one",
        "a break in the chain",
        "test_gateway.test_a_gap_is_not_filled_by_anything_else",
    ),
    Threat(
        "gateway",
        "delays and reorders",
        "nobody, for less than a minute: it harms nothing",
        "none",
        "test_gateway.test_what_is_only_late_is_no_gap",
    ),
    Threat(
        "key thief",
        "signs after the revocation, whatever time or sequence it states",
        "admission, by the log's order; what was before stays valid, and was cosigned before",
        "`key_revoked`",
        "test_key_thief.test_what_a_thief_signs_after_the_revocation_is_refused_and_what_was_before_stays_valid",
    ),
    Threat(
        "key thief",
        "signs before the revocation",
        "the owner's next statement contradicts it",
        "`equivocation`",
        "test_key_thief.test_what_a_thief_signs_before_the_revocation_is_the_owners_word",
    ),
    Threat(
        "key thief",
        "signs with a key that was rotated",
        "admission: a key has a span of sequences",
        "`key_span`",
        "test_key_thief.test_a_stolen_key_that_was_rotated_signs_the_owners_past_only",
    ),
    Threat(
        "key thief",
        "enrols or rotates with the stolen key",
        "admission: that takes an authority",
        "`authority_unknown`",
        "test_key_thief.test_a_thief_cannot_enrol_or_rotate_the_key",
    ),
    Threat(
        "bad input",
        "bombs, depth, lengths, mutations, to every decoder",
        "sizes first, one strict form: one exception, printable",
        "each its own",
        "test_bad_input.test_bad_input_raises_one_exception",
    ),
    Threat(
        "bad input",
        "takes time",
        "within 10 ms",
        "each its own",
        "test_bad_input.test_bad_input_is_refused_within_10_ms",
    ),
    Threat(
        "bad input",
        "takes memory",
        "16 MiB at the most",
        "each its own",
        "test_bad_input.test_bad_input_takes_bounded_memory",
    ),
)


def threat_lines() -> Iterator[str]:
    """Yield the table of threats."""
    yield "| actor | attack | what notices or prevents it | reason | test |"
    yield "|---|---|---|---|---|"
    for threat in THREATS:
        module, _, name = threat.test.partition(".")
        test = f"[{name.removeprefix('test_').replace('_', ' ')}](../tests/threats/{module}.py)"
        yield f"| {threat.actor} | {threat.attack} | {threat.noticed_by} | {threat.reasons} | {test} |"


def history_lines() -> Iterator[str]:
    """Yield the table of bad histories: what is done in each, and what every check says of it."""
    yield "| history | what the operator does | refused by |"
    yield "|---|---|---|"
    for bad in BAD_HISTORIES:
        does = " ".join((bad.make.__doc__ or "").split()).removesuffix(".")
        checks: dict[str, list[str]] = {}
        for check, said in bad.refused.items():
            checks.setdefault(", ".join(dict.fromkeys(map(_code, said))), []).append(check)
        by = "; ".join(f"{', '.join(names)}: {codes}" for codes, names in checks.items())
        yield f"| {bad.name} | {does} | {by} |"


def _code(said: str) -> str:
    """Return a check's reason without its place, a witness's status code."""
    code = said.partition(" ")[0]
    return code if code.isdigit() else f"`{code}`"


TABLES = {"threats": threat_lines, "bad histories": history_lines}


def filled(page: str) -> str:
    """Return the page with each table between its marks."""
    for name, lines in TABLES.items():
        begin, end = f"<!-- {name}: made by `make docs` -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n" + "\n".join(lines()) + f"\n\n{end}{after}"
    return page


def main() -> None:
    """Write the tables into the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write("docs/threats.md\n")


if __name__ == "__main__":
    main()
