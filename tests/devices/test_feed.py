"""The feed: the world's process, its ticks in order, and its end."""

import sys
from pathlib import Path

import pytest

from devices.feed import TICKS_AHEAD, Feed
from pipeline.wire.errors import UnavailableError


def test_ticks_come_in_order_and_the_process_ends_with_the_feed(tmp_path: Path) -> None:
    """Ticks follow each other minute by minute, the truth is written, and no process is left behind."""
    with Feed("calm", 7, tmp_path / "truth.json") as feed:
        assert feed.stations
        times_s: list[float] = []
        while len(times_s) < 2 * TICKS_AHEAD:
            tick = feed.next_tick(30.0)
            assert tick is not None
            times_s.append(tick.time_s)
        process = feed._process
    assert times_s == [times_s[0] + 60.0 * number for number in range(len(times_s))]
    assert process.returncode is not None
    assert (tmp_path / "truth.json").exists()


@pytest.mark.parametrize(
    ("program", "words"),
    [("", "ended before its first frame"), ("import sys; sys.stdout.write('x' * 99)", "frame")],
)
def test_a_world_that_breaks_off_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    """A process that ends at once, or writes something else, is named as unavailable."""
    wrapper = tmp_path / "python"
    wrapper.write_text(f"#!{sys.executable}\n{program}\n")
    wrapper.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(wrapper))
    with pytest.raises(UnavailableError, match=words):
        Feed("calm", 7, tmp_path / "truth.json")
