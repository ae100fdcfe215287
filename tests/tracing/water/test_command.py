"""`cityproof trace network` on files: an answer, or an error that names the row and the remedy."""

import json
from pathlib import Path

import pytest

from pipeline.commands.trace_network import Question, run
from pipeline.wire.errors import InputError

NETWORK = """[JUNCTIONS]
 b 0 10
 c 0 10
[RESERVOIRS]
 a 50
[PIPES]
 p1 a b 1000 300 100 0 Open
 p2 b c 1000 300 100 0 Open
[COORDINATES]
 a 0 0
 b 1000 0
 c 2000 0
[TIMES]
 Duration 24:00
 Hydraulic Timestep 1:00
[OPTIONS]
 Units LPS
 Headloss H-W
[END]
"""


def ask(folder: Path, *rows: str, **changed: object) -> Question:
    """Write a network of two pipes and samples of it."""
    (folder / "net.inp").write_text(NETWORK)
    (folder / "o.csv").write_text("\n".join(rows) + "\n")
    asked: dict[str, object] = {
        "inp": folder / "net.inp",
        "observations": folder / "o.csv",
        "out": folder / "a.json",
        "start": None,
        "quantity": None,
        "background": "fit",
        "demand_cv": 0.1,
        "members": 3,
        "decay_per_day": 0.0,
        "false_rates": "0.05,0.05",
        "seed": 7,
    }
    return Question(**{**asked, **changed})  # type: ignore[arg-type] # a test's keywords


def test_it_writes_an_answer_whose_parts_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Probabilities sum to one, times are ordered, what cannot be reached is named."""
    rows = [
        f"2026-03-02T{8 + i // 4:02}:{i % 4 * 15:02}:00Z,b,arsenic,{40 if i > 8 else 2},ug/l"
        for i in range(24)
    ]
    question = ask(tmp_path, "time,node,quantity,value,unit", *rows)
    assert run(question) == 0
    answer = json.loads(question.out.read_text())
    assert sum(one["probability"] for one in answer["nodes"]) == pytest.approx(1.0)
    assert {one["node"] for one in answer["nodes"]} == {"a", "b"}
    assert answer["unreached"] == ["c"]
    assert answer["p_nothing"] < 0.01
    assert answer["onset"]["low"] <= answer["onset"]["median"] <= answer["onset"]["high"]
    assert answer["background_g_m3"] == {"b": pytest.approx(0.002)}
    assert answer["settings"]["start"] == "2026-03-02T00:00:00Z"
    assert "contaminated with probability" in capsys.readouterr().out


def test_the_same_question_gives_the_same_answer(tmp_path: Path) -> None:
    """Draws of demands are decided by the seed."""
    rows = ["time,node,positive", "2026-03-02T08:00:00Z,c,0", "2026-03-02T12:00:00Z,c,1"]
    answers = []
    for _ in range(2):
        question = ask(tmp_path, *rows)
        run(question)
        answer = json.loads(question.out.read_text())
        answer.pop("seconds")
        answers.append(answer)
    assert answers[0] == answers[1]
    assert answers[0]["rate_g_s"]["median"] is None


@pytest.mark.parametrize(
    ("rows", "place", "problem"),
    [
        (["time,node,positive", "2026-03-02T08:00:00Z,x,1"], "row 2", "no node x"),
        (["time,node,positive", "2026-03-02T08:00:00Z,b,maybe"], "row 2", "'maybe'"),
        (["time,node,quantity,value,unit", "2026-03-02T08:00:00Z,b,lead,4,ppm"], "row 2", "'ppm'"),
        (["time,node,quantity,value,unit", "2026-03-02T08:00:00Z,b,lead,four,ug/l"], "row 2", "no number"),
        (["time,node,quantity,value,unit", "yesterday,b,lead,4,ug/l"], "row 2", "no time"),
        (["time,place,positive", "2026-03-02T08:00:00Z,b,1"], "row 1", "no column node"),
        (["time,node,positive"], "o.csv", "no sample"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[str], place: str, problem: str) -> None:
    """The error says which row, and what is wrong with it."""
    with pytest.raises(InputError) as caught:
        run(ask(tmp_path, *rows))
    assert place in str(caught.value)
    assert problem in str(caught.value)


def test_bad_settings_are_named(tmp_path: Path) -> None:
    """A start after a sample, rates that are none, a file that EPANET does not read."""
    rows = ["time,node,positive", "2026-03-02T08:00:00Z,b,1"]
    with pytest.raises(InputError, match="before the simulation starts"):
        run(ask(tmp_path, *rows, start="2026-03-02T09:00:00Z"))
    with pytest.raises(InputError, match="false-rates"):
        run(ask(tmp_path, *rows, false_rates="0.05"))
    question = ask(tmp_path, *rows)
    question.inp.write_text("no network")
    with pytest.raises(InputError, match="EPANET does not read it"):
        run(question)
