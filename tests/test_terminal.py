"""What people see: numbers and words, tables in pipes and on screens, bars, and streams without accents."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console

from penchant import progress, terminal
from penchant.models.fitting import Epoch, FitLog


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 60 columns that takes what is said on stdout."""
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=True, width=60, color_system=None, highlight=False, soft_wrap=True)
    monkeypatch.setattr(terminal, "output", console)
    return seen


@dataclass
class Item:
    item: Any
    name: str
    value: float = 0.5
    n_ratings: int = 1200
    prediction: float = 4.25


# --- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *[(0.0, "0 ms"), (0.0042, "4 ms"), (0.0994, "99 ms"), (0.0999, "0.10 s"), (0.841, "0.84 s")],
        *[(9.994, "9.99 s"), (9.996, "10.0 s"), (99.94, "99.9 s"), (99.96, "1:40 min"), (125.4, "2:05 min")],
        *[(3599.4, "59:59 min"), (3599.6, "1:00 h"), (12_000, "3:20 h")],
    ],
)
def test_a_time_as_people_say_it(value: float, words: str) -> None:
    assert terminal.seconds(value) == words


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 ratings"), (1, "1 rating"), (2, "2 ratings"), (12345, "12,345 ratings")]
)
def test_a_number_of_things(n: int, words: str) -> None:
    assert terminal.counted(n, "rating") == words


def test_a_paragraph_is_filled_without_cutting_words() -> None:
    path = "/a/very-long/path/that-is-longer-than-the-line.csv"
    assert terminal.fill(f"look  at\n{path} now", 20, "  ").split("\n") == ["  look at", f"  {path}", "  now"]


# --- lines ------------------------------------------------------------------------------------------


def test_in_a_pipe_a_line_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 60
    terminal.say(long)
    terminal.warn(long)
    terminal.fail("[bold]no markup[/bold] :smile:", long)
    captured = capsys.readouterr()
    assert captured.out == long + "\n"
    assert captured.err == f"note: {long}\nerror: [bold]no markup[/bold] :smile:\n{long}\n"


def test_on_a_screen_a_line_breaks_between_words(screen: io.StringIO) -> None:
    terminal.say("word " * 30)
    assert all(len(line) <= 60 and "wo rd" not in line for line in screen.getvalue().splitlines())
    assert screen.getvalue().count("word") == 30


def test_on_a_screen_a_long_path_stays_whole_for_copying(screen: io.StringIO) -> None:
    path = "/".join(["folder"] * 20)
    terminal.say(f"Saved in {path}.")
    assert screen.getvalue() == f"Saved in {path}.\n"


def test_a_title_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_items("Best", [Item(1, "Evil\x1b[2J\ntitle\x07"), Item(2, "[red]Good[/red]")], "bias", "{:+.3f}")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "Evil [2J title" in out
    assert "[red]Good[/red]" in out
    assert out.count("\n") == 5


# --- streams ----------------------------------------------------------------------------------------


def written_in_ascii(say: Callable[[], None]) -> bytes:
    """What reaches a stdout that has letters of ASCII only."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", write_through=True)
    with redirect_stdout(stream):
        terminal.prepare_streams()
        say()
    stream.detach()
    return raw.getvalue()


def test_letters_that_a_stream_has_not_lose_their_accents() -> None:
    said = written_in_ascii(lambda: terminal.say("Kôkaku — 4.1 – 4.2 … “naïve” ███ 映画 \udce9"))
    assert said == b'Kokaku - 4.1 - 4.2 ... "naive" ### ?? ?\n'


def test_json_for_a_stream_without_letters_is_still_all_of_it() -> None:
    said = written_in_ascii(lambda: terminal.say_json({"name": "Kôkaku 映画"}))
    assert said.isascii()
    assert json.loads(said) == {"name": "Kôkaku 映画"}


def test_json_is_written_as_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_json({"name": "Kôkaku"})
    assert capsys.readouterr().out == '{"name": "Kôkaku"}\n'


# --- tables -----------------------------------------------------------------------------------------


def test_a_table_in_a_pipe_has_one_line_a_row_and_no_blanks_at_ends(capsys: pytest.CaptureFixture[str]) -> None:
    long = "A title " * 30
    terminal.say_items("Best", [Item(7, long.strip()), Item(8, "B")], "bias", "{:+.3f}")
    blank, title, *lines = capsys.readouterr().out.splitlines()
    assert (blank, title) == ("", "Best")
    assert len(lines) == 3
    assert all(line == line.rstrip() for line in lines)
    assert lines[2].split() == ["B", "8", "+0.500", "1,200"]
    assert len(lines[0]) == len(lines[1]) == len(lines[2]), "numbers stand below each other"


def test_a_table_on_a_screen_folds_titles_and_keeps_numbers_whole(screen: io.StringIO) -> None:
    terminal.say_items("Best", [Item(123456, "A title " * 12)], "bias", "{:+.3f}")
    lines = screen.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert "123456" in lines[3]
    assert "+0.500" in lines[3]
    assert "1,200" in lines[3]


def test_an_id_is_shown_only_where_it_says_more_than_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_recommendations("For user 1", [Item(7, "7"), Item(8, "Film")])
    lines = capsys.readouterr().out.splitlines()[3:]
    assert [line.split() for line in lines] == [["1", "7", "4.25"], ["2", "Film", "8", "4.25"]]


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_recommendations("For user 1", [])
    assert "Nothing is left to recommend." in capsys.readouterr().out


def test_metrics_say_how_many_ratings_were_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    report = {"metrics": {"mse": 0.5}, "intervals": {"mse": (0.4, 0.6)}, "n": 1, "n_unknown": 0}
    terminal.say_metrics(report)
    terminal.say_metrics({**report, "n": 10, "n_unknown": 3})
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["mse", "0.5000", "0.4000", "–", "0.6000"]
    assert out[2] == "  1 rating"
    assert out[5] == "  10 ratings, 3 of them with a user or item that the model does not know"


def test_a_histogram_has_a_bar_for_whatever_occurs(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_histogram(["1", "2", "3"], [0, 1, 999])
    lines = capsys.readouterr().out.splitlines()
    assert [line.count("█") for line in lines] == [0, 0, 40]
    assert [("▏" in line) for line in lines] == [False, True, False]
    assert len({len(line) for line in lines}) == 1


# --- progress ---------------------------------------------------------------------------------------


def test_the_epoch_table_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    table = progress.EpochTable()
    table.started("mf", 2)
    table.progressed(0, 0.5)
    table.ended_epoch("mf", Epoch(0, 1.23456, None, 0.01))
    table.ended_epoch("mf", Epoch(1, 1.1, 1.2, 1.5))
    table.ended_epoch("mf", Epoch(2, 1e15, 123456.0, 1.5))
    table.close()
    assert capsys.readouterr().out.splitlines() == [
        "",
        "mf",
        "  epoch   train loss   valid loss      time",
        "      0       1.2346            —     10 ms",
        "      1       1.1000       1.2000    1.50 s",
        "      2        1e+15  123456.0000    1.50 s",
    ]


def test_the_epoch_table_on_a_screen_takes_its_bar_away(screen: io.StringIO) -> None:
    table = progress.EpochTable()
    table.started("mf", 2)
    assert table.bar is not None
    table.progressed(0, 0.5)
    table.ended_epoch("mf", Epoch(0, 1.0, 1.0, 0.01))
    table.started("dot", 1)
    table.ended_epoch("dot", Epoch(0, 1.0, 1.0, 0.01))
    assert table.bar is None
    assert "━" in screen.getvalue()


def test_epoch_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    lines = progress.EpochLines()
    lines.started("mf", 1)
    lines.progressed(0, 0.5)
    lines.ended_epoch("mf", Epoch(0, 1.0, None, 0.5))
    lines.close()
    assert json.loads(capsys.readouterr().out) == {
        "event": "epoch",
        "model": "mf",
        "epoch": 0,
        "train_loss": 1.0,
        "valid_loss": None,
        "seconds": 0.5,
    }


@pytest.mark.parametrize(
    ("ending", "kept", "said"),
    [
        ("finished", 2, ""),
        ("finished", 1, "The best validation loss was earlier: the weights of epoch 1 are kept."),
        ("stopped early", 0, "Stopped early, no better validation loss since: the weights of epoch 0 are kept."),
        ("interrupted", 1, "Interrupted after 3 epochs: the weights of epoch 1 are kept."),
    ],
)
def test_how_a_fit_ended(capsys: pytest.CaptureFixture[str], ending: Any, kept: int, said: str) -> None:
    epochs = tuple(Epoch(number, 1.0, 1.0, 0.1) for number in range(3))
    terminal.say_ending(FitLog("mf", epochs, kept, ending, 0.3, 0))
    captured = capsys.readouterr()
    assert (captured.out + captured.err).removeprefix("note:").strip() == said
    assert bool(captured.err) == (ending == "interrupted")


def test_long_work_in_a_pipe_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    assert list(progress.following([(2, "a"), (3, "b")], 5, "Counting")) == ["a", "b"]
    assert capsys.readouterr().err.splitlines() == ["Counting: 2 of 5", "Counting: 5 of 5"]


def test_short_work_in_a_pipe_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.waiting("Reading"):
        assert list(progress.following([(1, "a")], 1, "Counting")) == ["a"]
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_a_download_that_never_began_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress.DownloadBar("ml-100k")
    bar.close()
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_a_download_can_be_followed() -> None:
    bar = progress.DownloadBar("ml-100k")
    bar.total = 100
    bar.update(40)
    bar.update(60)
    assert bar.bar.tasks[0].completed == 100
    bar.reset()
    assert bar.bar.tasks[0].completed == 0
    bar.close()
