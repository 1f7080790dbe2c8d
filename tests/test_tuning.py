"""Tuning: what is searched, that trials follow from the seed, that held-out ratings have no say, files of trials."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant import cli, job, tuning
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_random
from penchant.data.synthetic import planted
from penchant.errors import InputError, MissingExtraError, SettingError
from penchant.models import MODELS, model_class
from penchant.models.fitting import FitOptions
from penchant.models.settings import Field
from penchant.search_space import Dimension, search_space
from penchant.serving.recommender import Recommender
from penchant.trials import Search, Trial, best_of
from penchant.tuning import Plan

optuna = pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def small() -> Interactions:
    return planted(50, 60, 1500, seed=4)


def settings_of(search: Search) -> list[dict[str, Any]]:
    return [dict(trial.settings) for trial in search.trials]


def outcomes(search: Search) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.settings, trial.value, trial.state) for trial in search.trials]


# --- what is searched -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [*MODELS, "own"])
def test_what_is_suggested_is_accepted_and_the_default_is_among_it(model: str) -> None:
    settings_class = model_class(model).settings_class
    searched = [one for one in settings_class.describe() if one.search is not None]
    space = [Dimension.of(one) for one in searched]
    assert space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(25):
        trial = study.ask()
        suggested = {one.name: one.suggest(trial) for one in space}
        settings = settings_class.from_dict(suggested, model)
        assert {name: getattr(settings, name) for name in suggested} == suggested
        assert {one.name: one.of_optuna(one.to_optuna(suggested[one.name])) for one in space} == suggested
    study.enqueue_trial({one.name: one.to_optuna(one.default) for one in space})
    trial = study.ask()
    assert {one.name: one.suggest(trial) for one in space} == {one.name: one.default for one in searched}


def test_ranges_are_logarithmic_where_they_span_a_factor_of_ten() -> None:
    def dimension(kind: Any, default: Any, search: Any) -> Dimension:
        return Dimension.of(Field("it", kind, default, "", search))

    assert dimension(float, 0.1, (0.01, 0.1)).is_log
    assert not dimension(float, 0.1, (0.02, 0.1)).is_log
    assert not dimension(float, 0.1, (0, 0.5)).is_log
    whole = dimension(int, 5, (1, 10))
    assert whole.is_log
    assert whole.is_whole
    assert dimension(float, 2.0, (0, 1)).high == 2  # the default is reached
    assert list(dimension(bool, True, (False, True)).values.values()) == [False, True]
    assert list(dimension(tuple[int, ...], (9,), ((1, 2), (3,))).values) == ["1,2", "3", "9"]


def test_fixed_settings_are_not_searched(small: Interactions) -> None:
    names = {one.name for one in search_space("mf", {"epochs": 3})}
    assert "epochs" not in names
    assert "factors" in names
    with pytest.raises(SettingError, match="nothing to search"):
        search_space("bias", {"user_damping": 1, "item_damping": 1, "passes": 1})
    fitted, found = tuning.tune(small, "bias", trials=3, passes=2, user_damping=1.0)
    assert fitted.model.settings.passes == 2
    assert all(set(trial.settings) == {"item_damping"} for trial in found.trials)


# --- a search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["bias", "mf"])
def test_the_first_trial_is_the_defaults_and_the_best_is_not_worse(small: Interactions, model: str) -> None:
    fitted, found = tuning.tune(small, model, trials=4)
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3]
    assert found.trials[0].settings == found.defaults
    outer = split_random(small, 0.2)
    by_hand = job.fit(split_random(outer.train, 0.2), model).about["valid"]["metrics"]["rmse"]
    assert found.trials[0].value == by_hand
    assert found.best.value <= by_hand
    again = job.fit(outer, model, **found.best.settings)
    assert fitted.about["valid"] == again.about["valid"]
    assert fitted.about["tuning"]["best"] == found.best.number
    assert json.loads(json.dumps(fitted.about["tuning"])) == fitted.about["tuning"]


def test_held_out_ratings_have_no_say(small: Interactions) -> None:
    one, found = tuning.tune(split_random(small, 0.2, seed=0), "mf", trials=5, epochs=3)
    outer = split_random(small, 0.2, seed=0)
    assert outer.valid is not None
    other = replace(outer.valid, ratings=(5.5 - outer.valid.ratings).astype(np.float32))
    another, found_too = tuning.tune(replace(outer, valid=other), "mf", trials=5, epochs=3)
    assert outcomes(found) == outcomes(found_too)
    assert one.about["valid"]["metrics"] != another.about["valid"]["metrics"]


def test_hopeless_fits_are_pruned_and_it_can_be_forbidden(small: Interactions) -> None:
    states = [trial.state for trial in tuning.tune(small, "mf", trials=10, factors=4)[1].trials]
    assert states[: tuning.TRIALS_BEFORE_PRUNING] == ["done"] * tuning.TRIALS_BEFORE_PRUNING
    assert "pruned" in states
    unpruned = tuning.tune(small, "mf", trials=8, factors=4, pruning=False)[1]
    assert {trial.state for trial in unpruned.trials} == {"done"}


def test_settings_that_do_not_go_together_are_failed_trials(small: Interactions) -> None:
    split = split_random(small, 0.2)
    fixed = {"sweeps": 31, "chains": 1, "factors": 2, "averaged_factors": 4, "samples": 2}
    found = tuning.search("bayes", fixed, split, Plan(4), FitOptions())
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed
    assert all("sweeps is 31" in trial.problem for trial in failed)


def test_a_metric_can_be_chosen(small: Interactions) -> None:
    fitted, found = tuning.tune(small, "bias", trials=2, metric="mae")
    assert found.metric == fitted.about["tuning"]["metric"] == "mae"
    with pytest.raises(SettingError, match="no metric 'beauty'"):
        tuning.tune(small, "bias", trials=2, metric="beauty")


def test_the_best_is_the_first_of_equals_and_may_be_the_highest() -> None:
    trials = [Trial(n, {}, value, 0.0) for n, value in enumerate([0.2, None, 0.1, 0.3, 0.1, 0.3])]
    lowest, highest = best_of(trials, False), best_of(trials, True)
    assert lowest is trials[2]
    assert highest is trials[3]
    assert best_of(trials[1:2], True) is None


def test_held_out_ratings_are_needed(small: Interactions) -> None:
    with pytest.raises(SettingError, match="none are held out"):
        tuning.tune(small, "bias", valid_fraction=0)
    with pytest.raises(SettingError, match="trials is 0"):
        tuning.tune(small, "bias", trials=0)


def test_without_optuna_the_extra_is_named(small: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"penchant\[tune\]"):
        tuning.tune(small, "bias")


# --- a file of trials -------------------------------------------------------------------------------


def search(split: Split, trials: int, storage: Path | None = None, **how: Any) -> Search:
    return tuning.search("mf", {"epochs": 4, "factors": 4}, split, Plan(trials, storage=storage, **how), FitOptions())


def test_a_search_that_goes_on_makes_the_trials_of_one_that_was_not_cut_off(
    small: Interactions, tmp_path: Path
) -> None:
    split, file = split_random(small, 0.2), tmp_path / "trials"
    whole = search(split, 16)
    told: list[int] = []
    resumed: list[int] = []

    def tell(trial: Trial, best: bool) -> None:
        told.append(trial.number)

    for trials in (1, 5, 5, 13):
        search(split, trials, file, told=tell, resumed=resumed.append)
    last = search(split, 16, file)
    assert outcomes(last) == outcomes(whole)
    assert "pruned" in {trial.state for trial in whole.trials}
    assert told == list(range(13))
    assert resumed == [1, 5, 5]
    assert {path.name for path in tmp_path.iterdir()} == {"trials"}


@pytest.mark.parametrize("cut", [1, 0.3, 0.6, 0.99])
def test_a_file_that_was_cut_off_anywhere_goes_on(small: Interactions, tmp_path: Path, cut: float) -> None:
    """As by a process that was killed: in the middle of a line, or of a trial."""
    split, file = split_random(small, 0.2), tmp_path / "trials"
    whole = search(split, 4, file)
    content = file.read_bytes()
    file.write_bytes(content[: int(cut) if cut == 1 else int(cut * len(content))])
    if cut == 1:
        file.write_bytes(b"")
    assert outcomes(search(split, 4, file)) == outcomes(whole)


def test_another_search_in_the_same_file_is_refused(small: Interactions, tmp_path: Path) -> None:
    split, file = split_random(small, 0.2), tmp_path / "trials"
    search(split, 1, file)
    before = file.read_bytes()
    ratings = split.train.ratings.copy()
    ratings[0] = 1.0 if ratings[0] != 1.0 else 2.0
    other_table = replace(split, train=replace(split.train, ratings=ratings))
    others: list[tuple[str, Any]] = [
        ("table", ("mf", {"epochs": 4, "factors": 4}, other_table, Plan(2, storage=file), FitOptions())),
        ("model", ("bias", {}, split, Plan(2, storage=file), FitOptions())),
        ("fixed settings", ("mf", {"epochs": 5, "factors": 4}, split, Plan(2, storage=file), FitOptions())),
        ("seed", ("mf", {"epochs": 4, "factors": 4}, split, Plan(2, storage=file), FitOptions(seed=1))),
        ("metric", ("mf", {"epochs": 4, "factors": 4}, split, Plan(2, "mae", file), FitOptions())),
    ]
    for difference, arguments in others:
        with pytest.raises(InputError, match=f"another search .*{difference}"):
            tuning.search(*arguments)
    assert file.read_bytes().startswith(before)
    assert len(search(split, 2, file).trials) == 2


@pytest.mark.parametrize("content", ["user,item,rating\n1,2,3", '{"op_code": what\n', '{"op_code":1}\n{}\n'])
def test_a_file_of_something_else_is_refused_and_stays(small: Interactions, tmp_path: Path, content: str) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(content)
    with pytest.raises(InputError, match="not a file of trials"):
        search(split_random(small, 0.2), 1, file)
    assert file.read_text() == content
    with pytest.raises(InputError, match="is a folder"):
        tuning.tune(small, "bias", storage=tmp_path)
    with pytest.raises(InputError, match="no folder"):
        tuning.tune(small, "bias", storage=tmp_path / "nowhere" / "trials")


def test_two_processes_do_not_share_a_file(small: Interactions, tmp_path: Path) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / "trials.lock"), pytest.raises(InputError, match="Another process"):
        search(split_random(small, 0.2), 1, tmp_path / "trials")


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture
def there(small: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ratings.csv."""
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    monkeypatch.chdir(tmp_path)
    users, items = small.users.take(small.user_rows), small.items.take(small.item_rows)
    pl.DataFrame({"user": users, "item": items, "rating": small.ratings}).write_csv("ratings.csv")
    return tmp_path


def test_the_command_prints_a_line_a_trial_and_saves(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    line = "tune ratings.csv --model mf --epochs 2 --trials 4 --storage t -o model --plot trials.png"
    assert cli.run(shlex.split(line)) == 0
    out = capsys.readouterr().out
    assert "      0" in out
    assert "the defaults" in out
    assert "factors=" in out
    assert "Saved in model" in out
    saved = Recommender.load(there / "model")
    assert saved.about["tuning"]["trials"] == 4
    assert saved.model.settings.epochs == 2
    assert (there / "trials.png").read_bytes().startswith(b"\x89PNG")
    assert cli.run([*shlex.split(line), "--trials", "5"]) == 0
    assert "t has 4 trials" in capsys.readouterr().out


def test_the_command_prints_json_lines(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(shlex.split("tune ratings.csv --model mf --epochs 2 --trials 3 --json")) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == [*["trial"] * 3, "search", "epoch", "epoch", "result"]
    assert [event["trial"] for event in events[:3]] == [0, 1, 2]
    assert events[0]["best"] is True
    assert events[3]["value"] == min(event["value"] for event in events[:3])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("--valid-fraction 0", "none are held out"),
        ("--metric beauty", "no metric 'beauty'"),
        ("--trials 0", "--trials is 0"),
        ("--storage ratings.csv", "not a file of trials"),
        ("--plot trials.doc", "kind of picture"),
        ("--model nonsense", "no model"),
    ],
)
def test_what_cannot_be_is_refused(there: Path, capsys: pytest.CaptureFixture[str], line: str, problem: str) -> None:
    if "--plot" in line:
        pytest.importorskip("matplotlib")
    assert cli.run(shlex.split(f"tune ratings.csv {line}")) == 2
    assert problem in capsys.readouterr().err


def test_ctrl_c_fits_the_best_so_far(
    there: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_model, fits = job.fit_model, 0

    def interrupted(*given: Any) -> Recommender:
        nonlocal fits
        fits += 1
        if fits == 3:
            raise KeyboardInterrupt
        return fit_model(*given)

    monkeypatch.setattr(job, "fit_model", interrupted)
    assert cli.run(shlex.split("tune ratings.csv -m bias --trials 9 --storage t -o model")) == cli.INTERRUPTED
    assert "Interrupted after 2 trials: the trials are kept in t" in capsys.readouterr().err
    assert Recommender.load(there / "model").about["tuning"]["trials"] == 2
    fits = 3
    assert cli.run(shlex.split("tune ratings.csv -m bias --trials 4 --storage t --json")) == 0
    numbers = [json.loads(line).get("trial") for line in capsys.readouterr().out.splitlines()]
    assert numbers[:2] == [2, 3]
    fits = 2
    assert cli.run(shlex.split("tune ratings.csv -m bias --trials 4 -o other")) == cli.INTERRUPTED
    assert "nothing was learnt" in capsys.readouterr().err
    assert not (there / "other").exists()


# --- the picture ------------------------------------------------------------------------------------


def test_any_search_can_be_drawn() -> None:
    pytest.importorskip("matplotlib")
    from penchant.plots_trials import trials_figure

    values = [0.9, 0.8, None, None, 99.0, 0.7, 0.75, 0.72, 0.74, 0.71]
    trials = tuple(
        Trial(n, {"rate": 10.0**-n, "kind": ("a", "b")[n % 2], "layers": (n % 3,)}, value, 1.0, "bad" if n == 3 else "")
        for n, value in enumerate(values)
    )
    defaults = dict(trials[0].settings)
    for some in (trials, trials[:1], trials[:3]):
        figure = trials_figure(Search("mf", "rmse", False, some, defaults, "", False))
        assert len(figure.axes) == 4
    assert figure.axes[0].get_title(loc="left") == "mf: rmse 0.8000 with trial 1 of 3"
