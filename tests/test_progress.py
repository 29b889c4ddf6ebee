"""Progress: lines for a log file, a bar for a terminal, and never a byte on stdout."""

import os
import pty
import subprocess
import sys

import pytest

from desta2.progress import Progress, clock, track

SCRIPT = """
from desta2.progress import track
print([x for x in track([1, 2, 3], description="counting")])
"""


def test_track_yields_everything_and_ends_with_a_line(capsys):
    assert list(track(iter("abc"), 3, "spelling")) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "spelling: 3/3 (100 %), done in 0:00\n"


def test_track_takes_the_total_from_the_length(capsys):
    list(track(range(7), description="counting"))
    assert "counting: 7/7 (100 %)" in capsys.readouterr().err


def test_unknown_total(capsys):
    list(track(iter("ab"), description="reading"))
    assert capsys.readouterr().err == "reading: 2, done in 0:00\n"


def test_nothing_to_do(capsys):
    assert list(track([], description="reading")) == []
    assert capsys.readouterr().err == "reading: 0, done in 0:00\n"


def test_lines_keep_their_pace_and_carry_the_note(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with Progress(10, "training", line_every=5) as progress:
        for step in range(10):
            now += 2
            progress.advance(note=f"loss {10 - step}")
    assert capsys.readouterr().err.splitlines() == [
        "training: 3/10 (30 %), about 0:14 left, loss 8",
        "training: 6/10 (60 %), about 0:08 left, loss 5",
        "training: 9/10 (90 %), about 0:02 left, loss 2",
        "training: 10/10 (100 %), done in 0:20, loss 1",
    ]


def test_what_an_earlier_run_did_says_nothing_about_the_speed_of_this_one(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with Progress(100, "training", line_every=5, done=90) as progress:
        progress.move_to(90)
        now = 6.0
        progress.move_to(92)
    first, _ = capsys.readouterr().err.splitlines()
    assert first == "training: 92/100 (92 %), about 0:24 left"


def test_move_to_sets_and_advance_adds(capsys):
    with Progress(10, "asking") as progress:
        progress.move_to(4)
        progress.advance(2)
    assert "asking: 6/10 (60 %)" in capsys.readouterr().err


def test_failure_is_not_called_done(capsys):
    items = track([1, 2, 3, 4], description="reading")
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="broken clip"):
        items.throw(KeyError("broken clip"))
    assert capsys.readouterr().err == "reading: 1/4 (25 %), stopped after 0:00\n"


def test_text_is_not_taken_for_markup(capsys):
    list(track([1], description="reading [bold]a[/] of :smile:"))
    assert capsys.readouterr().err.startswith("reading [bold]a[/] of :smile:: 1/1")


def test_a_bar_on_a_terminal_leaves_stdout_alone():
    reader, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=terminal, env=environment
    )
    shown = os.read(reader, 65536).decode()
    os.close(terminal)
    os.close(reader)
    assert ran.stdout == b"[1, 2, 3]\n"
    assert "counting" in shown
    assert "3/3" in shown
    assert "━" in shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (200, "3:20"), (3723, "1:02:03")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
