"""penchant retrain on real tables, stores and folders: what it does, what it says, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import penchant
from penchant.artifact import version_of
from penchant.cli import run
from penchant.data.synthetic import planted
from penchant.retraining import Plan, alone, run_round
from penchant.serving.events import Event
from penchant.serving.store import FeedbackStore

SOURCE = Path(__file__).parents[1] / "src"
BASE, EVENTS = 3_000, 2_000
START = 1_600_000_000

Rating = tuple[int, int, float]


@pytest.fixture(autouse=True)
def _warnings_stay_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["error"])


@pytest.fixture(scope="module")
def rated() -> list[Rating]:
    """Ratings in the order in which they were given."""
    data = planted(150, 120, 13_000, seed=3)
    order = np.random.default_rng(0).permutation(len(data))
    columns = data.users.take(data.user_rows[order]), data.items.take(data.item_rows[order]), data.ratings[order]
    found = list(zip(columns[0], columns[1], columns[2].tolist(), strict=True))[: BASE + EVENTS]
    assert len(found) == BASE + EVENTS
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, rated: list[Rating]) -> Path:
    """The table, and models that were fitted on it."""
    folder = tmp_path_factory.mktemp("shop")
    users, items, ratings = zip(*rated[:BASE], strict=True)
    columns = {"user": users, "item": items, "rating": ratings, "time": range(START, START + BASE)}
    pl.DataFrame(columns).write_csv(folder / "ratings.csv")
    table = str(folder / "ratings.csv")
    assert (
        run(["fit", table, "--epochs", "8", "--factors", "12", "--seed", "7", "-o", str(folder / "mf"), "--json"]) == 0
    )
    assert run(["fit", table, "--positive-from", "4", "--model", "als", "-o", str(folder / "als"), "--json"]) == 0
    return folder


@pytest.fixture
def there(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the table, a copy of the model, and a store without events."""
    (tmp_path / "ratings.csv").symlink_to(shop / "ratings.csv")
    penchant.load(shop / "mf").save(tmp_path / "model")
    FeedbackStore.open(str(tmp_path / "feedback.db")).close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def send(folder: Path, events: Sequence[Rating], first: int = 0) -> None:
    with FeedbackStore.open(str(folder / "feedback.db")) as store:
        times = range(START + BASE + first, START + BASE + first + len(events))
        numbered = zip(range(first, first + len(events)), events, times, strict=True)
        store.append([Event(f"event-{n}", user, item, rating, when) for n, (user, item, rating), when in numbered])


COMMAND = ["retrain", "ratings.csv", "--feedback", "feedback.db", "--model-dir", "model"]


class Said:
    def __init__(self, out: str, err: str) -> None:
        self.out, self.err = out, err

    @property
    def round(self) -> dict[str, Any]:
        (line,) = self.out.splitlines()
        event: dict[str, Any] = json.loads(line)
        assert event["event"] == "round"
        return event


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()

    def call(*more: str, code: int = 0, command: Sequence[str] = COMMAND) -> Said:
        found = run([*command, *more])
        captured = capsys.readouterr()
        assert found == code, captured.err
        return Said(captured.out, captured.err)

    return call


def model_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith((".", "model"))}


def test_without_news_there_is_nothing_to_do(there: Path, said: Any, rated: list[Rating]) -> None:
    send(there, rated[BASE : BASE + 49])
    before = version_of(there / "model")
    told = said()
    assert told.out == "Nothing to do: 49 events newer than the model; it takes 50 (--least).\n"
    assert told.err == ""
    assert said("--json").round["outcome"] == "nothing to do"
    assert version_of(there / "model") == before
    assert model_files(there) == {"model", "model.retrain.lock"}


def test_what_learns_from_feedback_is_promoted(there: Path, said: Any, rated: list[Rating]) -> None:
    send(there, rated[BASE:])
    before = version_of(there / "model")
    told = said("--json")
    found = told.round
    assert (found["outcome"], found["model"], found["n_new"]) == ("promoted", "mf", EVENTS)
    assert found["why"] == "it is better"
    compared = found["comparison"]
    assert compared["by"] == "mse"
    assert compared["difference"] == pytest.approx(compared["challenger"] - compared["current"], abs=1e-6)
    assert compared["interval"][1] < 0
    assert compared["n"] == EVENTS // 2
    assert (compared["n_unknown_to_current"], compared["n_users_without_history"]) == (0, 0)
    assert found["version"] == version_of(there / "model")
    assert version_of(there / "model.previous") == before
    assert found["previous"] == str(there / "model.previous")
    old, new = penchant.load("model.previous"), penchant.load("model")
    assert new.model.settings == old.model.settings
    assert new.log is not None
    assert new.log.seed == 7
    assert new.about["data"]["n_ratings"] == BASE + EVENTS
    assert new.history.in_training.all()
    assert len(new.history.item_rows) == BASE + EVENTS
    assert new.about["split"]["then"] == "fitted on everything"
    assert new.about["feedback"]["n_events"] == EVENTS
    interval = new.predict(new.users.ids[0], new.items.ids[0], interval=0.9)
    assert interval.low < interval.prediction < interval.high
    assert said("--json").round["why"].startswith("0 events newer than the model")


def test_the_same_feedback_gives_the_same_model(there: Path, said: Any, rated: list[Rating]) -> None:
    send(there, rated[BASE:])
    found = []
    for threads in ("1", "2"):
        penchant.load(Path("model.previous") if found else Path("model")).save(there / "model")
        assert said("--threads", threads, "--json").round["outcome"] == "promoted"
        found.append((Path("model") / "arrays.safetensors").read_bytes())
    assert found[0] == found[1]


def test_in_the_place_of_a_stripped_model_comes_a_stripped_one(there: Path, said: Any, rated: list[Rating]) -> None:
    penchant.load(there / "model").stripped().save(there / "model")
    send(there, rated[BASE : BASE + 1_000])
    assert said("--json").round["outcome"] == "promoted"
    first = penchant.load("model")
    assert first.is_stripped
    assert first.about["feedback"]["n_events"] == 1_000
    assert len(first.recommend(rated={first.items.ids[0]: 5.0}, k=3)) == 3
    send(there, rated[BASE + 1_000 :], 1_000)
    found = said("--json").round  # it knows how far feedback was read, users or not
    assert (found["outcome"], found["n_new"]) == ("promoted", 1_000)
    assert penchant.load("model").is_stripped
    assert penchant.load("model.previous").is_stripped


def test_people_read_the_comparison_and_the_decision(there: Path, said: Any, rated: list[Rating]) -> None:
    send(there, rated[BASE:])
    told = said()
    assert "Read ratings.csv: 3,000 ratings" in told.out
    assert "The current model and its challenger, by mse" in told.out
    assert "95 % interval of the difference, paired over users: -" in told.out
    assert "1,000 interactions that neither has seen, of " in told.out
    assert "The challenger is accepted: it is better." in told.out
    assert f"The new model is in model, the one before in {there / 'model.previous'}." in told.out
    assert told.err == "note: Feedback: 2,000 joined to the table.\n"


def test_only_the_last_model_before_is_kept(there: Path, said: Any, rated: list[Rating]) -> None:
    versions = [version_of(there / "model")]
    for at in (0, 1_000):
        send(there, rated[BASE + at : BASE + at + 1_000], at)
        found = said("--json").round
        assert (found["outcome"], found["n_new"]) == ("promoted", 1_000)
        versions.append(version_of(there / "model"))
        assert version_of(there / "model.previous") == versions[-2]
    assert len(set(versions)) == 3
    assert model_files(there) == {"model", "model.previous", "model.retrain.lock"}


def spoilt(events: Sequence[Rating]) -> list[Rating]:
    """The first half turned upside down, so that who learns from it does worse on the second."""
    half = len(events) // 2
    return [(user, item, 5.5 - rating) for user, item, rating in events[:half]] + list(events[half:])


def test_what_is_worse_is_refused(there: Path, said: Any, rated: list[Rating]) -> None:
    send(there, spoilt(rated[BASE:]))
    before = version_of(there / "model")
    told = said()
    assert "The challenger is refused: it is worse: the 95 % interval of the difference lies wholly on the" in told.out
    assert told.out.endswith("model is as it was.\n")
    found = said("--json").round
    assert found["outcome"] == "refused"
    assert found["comparison"]["interval"][0] > 0
    assert version_of(there / "model") == found["version"] == before
    assert model_files(there) == {"model", "model.retrain.lock"}


def test_a_margin_allows_or_asks_for_more(there: Path, said: Any, rated: list[Rating]) -> None:
    send(there, rated[BASE : BASE + 200])  # so few that it may go either way
    interval = said("--json", "--margin", "0").round
    assert interval["outcome"] == "refused"
    assert "more than the margin of 0" in interval["why"]
    worst = interval["comparison"]["interval"][1]
    assert worst > 0
    found = said("--json", "--margin", str(worst + 0.01)).round
    assert found["outcome"] == "promoted"
    assert "it is not worse by more than" in found["why"]


def test_a_model_that_ranks_is_compared_by_its_lists(there: Path, shop: Path, said: Any, rated: list[Rating]) -> None:
    penchant.load(shop / "als").save(there / "model")
    send(there, rated[BASE:])
    found = said("--positive-from", "4", "--json").round
    assert found["outcome"] == "promoted"
    assert found["comparison"]["by"] == "ndcg@10"
    new = penchant.load("model")
    assert new.model.name == "als"
    assert "ndcg@10" in new.about["valid"]["metrics"]


def test_a_table_read_in_another_way_is_told(there: Path, shop: Path, said: Any, rated: list[Rating]) -> None:
    penchant.load(shop / "als").save(there / "model")
    send(there, rated[BASE:])
    told = said(code=2)
    assert "model was fitted on interactions that nobody rated, and ratings.csv was read as ratings" in told.err
    assert "Give RATINGS and the flags of reading that the model was fitted with." in told.err
    pl.DataFrame({"user": [1, 2], "item": ["x", "y"], "rating": [1.0, 2.0]}).write_csv("other.csv")
    penchant.load(shop / "mf").save(there / "model")
    told = said(command=["retrain", "other.csv", *COMMAND[2:]], code=2)
    assert "No item of other.csv is in model" in told.err


def test_feedback_that_a_fit_has_read_is_not_new(there: Path, said: Any, rated: list[Rating]) -> None:
    send(there, rated[BASE : BASE + 100])
    assert said("--json").round["n_new"] == 100
    fit = ["fit", "ratings.csv", "--feedback", "feedback.db", "--factors", "12", "-o", "model", "--json"]
    said(command=fit)
    with FeedbackStore.open("feedback.db") as store:
        wanted = {"store": store.identity(), "sequence": store.last(), "n_events": 100}
    assert penchant.load("model").about["feedback"] == wanted
    assert said("--json").round["n_new"] == 0
    send(there, rated[BASE + 100 : BASE + 160], 100)
    assert said("--json").round["n_new"] == 60


def test_all_of_another_store_is_new(there: Path, said: Any, rated: list[Rating]) -> None:
    send(there, rated[BASE:])
    assert said("--json").round["outcome"] == "promoted"
    for path in there.glob("feedback.db*"):
        path.unlink()
    send(there, rated[BASE : BASE + 100])
    assert said("--json").round["n_new"] == 100


def test_new_users_and_items_are_in_the_next_model(there: Path, said: Any, rated: list[Rating]) -> None:
    newcomers = [(9_000 + n % 12, item, rating) for n, (_, item, rating) in enumerate(rated[BASE : BASE + 300])]
    newcomers += [(user, 8_000 + n % 3, 4.0) for n, (user, _, _) in enumerate(rated[BASE : BASE + 90])]
    order = np.random.default_rng(1).permutation(len(newcomers))
    send(there, [newcomers[n] for n in order])
    found = said("--json").round
    assert found["comparison"]["n_unknown_to_current"] > 0
    assert found["outcome"] == "promoted"
    new = penchant.load("model")
    assert new.users.find(9_003) >= 0
    assert new.items.find(8_001) >= 0
    assert len(new.recommend(9_003, 5)) == 5


def test_what_cannot_be_compared_on_is_said(there: Path, said: Any, rated: list[Rating]) -> None:
    """Ratings of what is in the table already say nothing of who would predict better what is not."""
    send(there, rated[:60])
    told = said("--json").round
    assert (told["outcome"], told["n_new"]) == ("nothing to do", 60)
    assert told["why"].startswith(
        "of the later half of 60 new events, 0 interactions of 0 users are left to compare on"
    )


def test_feedback_that_cannot_be_read_is_told(there: Path, said: Any) -> None:
    for path in there.glob("feedback.db*"):
        path.unlink()
    assert "error: There is no feedback at feedback.db" in said(code=2).err
    (there / "feedback.db").write_text("a diary, not a database at all; " * 100)
    assert said(code=2).err.startswith("error: ")
    assert model_files(there) == {"model", "model.retrain.lock"}


def test_a_model_that_is_not_there_is_told_and_nothing_is_made(there: Path, said: Any) -> None:
    before = {path.name for path in there.iterdir()}
    told = said(command=[*COMMAND[:-1], "none"], code=2)
    assert "There is no model at none" in told.err
    assert {path.name for path in there.iterdir()} == before


def test_something_else_in_the_place_of_the_previous_is_left(there: Path, said: Any, rated: list[Rating]) -> None:
    (there / "model.previous").mkdir()
    (there / "model.previous" / "notes.txt").write_text("mine")
    send(there, rated[BASE:])
    assert "model.previous exists and is not a penchant model" in said(code=2).err
    assert (there / "model.previous" / "notes.txt").read_text() == "mine"


def test_after_a_crash_the_model_before_is_back(there: Path, said: Any) -> None:
    """Where a system cannot exchange two folders in one step."""
    version = version_of(there / "model")
    (there / "model").rename(there / "model.previous")
    told = said()
    assert "model was missing, as after a crash: the model of" in told.err
    assert version_of(there / "model") == version


def test_a_model_that_was_replaced_meanwhile_is_left(there: Path, shop: Path, rated: list[Rating]) -> None:
    send(there, rated[BASE:])

    def read() -> Any:
        penchant.load(shop / "als").save(there / "model")
        return penchant.read_ratings("ratings.csv")

    plan = Plan(read, "feedback.db", Path("model"))
    with alone(plan), pytest.raises(penchant.PenchantError, match="was replaced by another process meanwhile"):
        run_round(plan)
    assert penchant.load("model").model.name == "als"


def test_a_link_to_a_model_stays_one(there: Path, said: Any, rated: list[Rating]) -> None:
    (there / "large disk").mkdir()
    (there / "model").rename(there / "large disk" / "model")
    (there / "model").symlink_to(there / "large disk" / "model")
    send(there, rated[BASE:])
    found = said("--json").round
    assert (there / "model").is_symlink()
    assert found["previous"] == str(there / "large disk" / "model.previous")
    assert version_of(there / "model") == found["version"] == version_of(there / "large disk" / "model")


def test_two_never_retrain_one_model(there: Path, said: Any) -> None:
    plan = Plan(lambda: penchant.read_ratings("ratings.csv"), "feedback.db", Path("model"))
    with alone(plan):
        told = said(code=2)
        assert told.err.startswith("error: Another process retrains model.")
        said("--every", "1h", code=2)
    said()


@pytest.mark.parametrize("text", ["", "h", "1", "1x", "-1h", "0s", "1.5h", "1 h", "1hh", "²h", "400d"])
def test_a_time_that_is_none_is_told(text: str, there: Path, said: Any) -> None:
    told = said("--every", text, code=2)
    assert f"--every is {text!r}" in told.err
    assert "90s, 30m, 1h or 1d" in told.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--margin", "-1"], "margin is -1"),
        (["--margin", "nan"], "margin is nan"),
        (["--least", "0"], "--least is 0"),
        (["--notify", "localhost:8000"], "'localhost:8000' is no address"),
        (["--notify", "http://127.0.0.1:1", "--key", "two words\n"], "key"),
    ],
)
def test_flags_are_looked_at_before_anything_is_read(flags: list[str], words: str, there: Path, said: Any) -> None:
    told = said(*flags, code=2)
    assert words in told.err
    assert told.out == ""


def test_services_that_are_not_told_are_an_exit_code(
    there: Path, said: Any, rated: list[Rating], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    send(there, rated[BASE:])
    (there / "serve.pid").write_text("1\n")
    before = version_of(there / "model")
    told = said("--json", "--notify", "http://127.0.0.1:9", "--pid-file", "serve.pid", code=1)
    assert told.round["outcome"] == "promoted"
    assert [one["service"] for one in told.round["told"]] == ["serve.pid", "http://127.0.0.1:9"]
    assert all(one["problem"] for one in told.round["told"])
    assert "error: The new model is in model, and a service was not told. No service runs that holds" in told.err
    assert "http://127.0.0.1:9 does not answer" in told.err
    assert version_of(there / "model") != before


# --- --every ------------------------------------------------------------------------------------------


@pytest.fixture
def process(there: Path) -> Iterator[Any]:
    """Starts the command as a process of its own."""
    started = []

    def start(*more: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-m", "penchant", *COMMAND, *more]
        started.append(subprocess.Popen(command, cwd=there, env=environment, text=True, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_rounds_go_on_until_a_signal_between_them(number: int, there: Path, process: Any, rated: list[Rating]) -> None:
    going = process("--every", "1s", "--json")
    assert json.loads(going.stdout.readline())["outcome"] == "nothing to do"
    send(there, rated[BASE:])
    outcome = "nothing to do"
    while outcome == "nothing to do":
        outcome = json.loads(going.stdout.readline())["outcome"]
    assert outcome == "promoted"
    assert json.loads(going.stdout.readline())["outcome"] == "nothing to do"
    going.send_signal(number)
    code, _, err = ended(going)
    assert code == 0
    assert err == "note: Feedback: 2,000 joined to the table.\n"
    assert version_of(there / "model.previous") != version_of(there / "model")


def test_a_round_that_fails_is_told_and_the_next_comes(there: Path, process: Any, rated: list[Rating]) -> None:
    (there / "feedback.db").rename(there / "away.db")
    going = process("--every", "1s", "--json")
    first = json.loads(going.stdout.readline())
    assert first["outcome"] == "failed"
    assert "There is no feedback" in first["why"]
    (there / "away.db").rename(there / "feedback.db")
    while json.loads(going.stdout.readline())["outcome"] == "failed":
        pass
    going.send_signal(signal.SIGTERM)
    code, _, err = ended(going)
    assert code == 0
    assert "error: There is no feedback at feedback.db" in err


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_fit_writes_nothing(
    number: int, every: bool, there: Path, process: Any, rated: list[Rating]
) -> None:
    endless = ["fit", "ratings.csv", "--model", "mf", "--epochs", "1000000", "-o", "model", "--json"]
    fitting = subprocess.Popen(
        [sys.executable, "-m", "penchant", *endless],
        cwd=there,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert fitting.stdout is not None
    fitting.stdout.readline()
    fitting.send_signal(signal.SIGTERM)  # a model whose settings say a million epochs
    fitting.communicate(timeout=60)
    send(there, rated[BASE:])
    before = version_of(there / "model")
    going = process(*(["--every", "1h"] if every else []))
    for line in going.stdout:
        if line.strip().startswith("3 "):
            break
    going.send_signal(number)
    code, out, err = ended(going)
    assert code == (0 if every else {signal.SIGTERM: 143, signal.SIGINT: 130}[number])
    assert out.endswith("Stopped.\n") if every else err.endswith("error: Interrupted.\n")
    assert version_of(there / "model") == before
    assert model_files(there) == {"model", "model.retrain.lock"}


def test_an_interval_is_from_start_to_start(there: Path, process: Any) -> None:
    going = process("--every", "2s")
    starts = []
    while len(starts) < 3:
        line = going.stdout.readline()
        if line.endswith("UTC\n"):
            starts.append(time.strptime(line.strip(), "%Y-%m-%d %H:%M:%S UTC"))
    going.send_signal(signal.SIGTERM)
    assert ended(going)[0] == 0
    assert starts == sorted(starts)
    assert starts[0] < starts[-1]
