"""The command line, called in this process: what it prints where, its exit codes, and what it writes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

from penchant import options, progress
from penchant.cli import app, run
from penchant.data.synthetic import planted
from penchant.models import MODELS, model_class
from penchant.models.fitting import Epoch
from penchant.serving.recommender import Recommender

COMMANDS = [
    *("fit", "compare", "evaluate", "recommend", "predict", "explain", "similar", "plot", "demo", "tune", "retrain"),
    *("data list", "data fetch", "data describe", "artifact strip"),
]
NET = """
import torch
from torch import nn

class DotProduct(nn.Module):
    def __init__(self, n_users, n_items, n_factors=50):
        super().__init__()
        self.user_factors = nn.Embedding(n_users, n_factors)
        self.item_factors = nn.Embedding(n_items, n_factors)

    def forward(self, x):
        return (self.user_factors(x[:, 0]) * self.item_factors(x[:, 1])).sum(dim=1)

class WrongShape(DotProduct):
    def forward(self, x):
        return self.user_factors(x[:, 0])

class Needy(nn.Module):
    def __init__(self, n_users, n_items, needed):
        super().__init__()

not_a_class = 3
"""


@pytest.fixture(autouse=True)
def _warnings_stay_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Python had been started with -W: the command line then leaves warnings as pytest wants them."""
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ratings.csv, items.csv, train.csv, valid.csv and the saved models bias and mf."""
    folder = tmp_path_factory.mktemp("shop")
    data = planted(60, 90, 1500, seed=5)
    users, items = data.users.take(data.user_rows), data.items.take(data.item_rows)
    ratings = pl.DataFrame({"userId": users, "movieId": items, "rating": data.ratings})
    ratings.write_csv(folder / "ratings.csv")
    ratings.filter(pl.int_range(pl.len()) % 5 > 0).write_csv(folder / "train.csv")
    ratings.filter(pl.int_range(pl.len()) % 5 == 0).write_csv(folder / "valid.csv")
    ids = data.items.ids
    pl.DataFrame({"movieId": ids, "title": [f"Film {id_} ({1950 + id_})" for id_ in ids]}).write_csv(
        folder / "items.csv"
    )
    for model in ("bias", "mf"):
        arguments = [str(folder / "ratings.csv"), "--items", str(folder / "items.csv"), "--model", model]
        assert run(["fit", *arguments, "-o", str(folder / model), "--json"]) == 0
    return folder


@pytest.fixture
def there(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, in which there are links to what is in the shop."""
    for path in shop.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Said:
    """What a command line said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in err

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(line: str, code: int = 0) -> Said:
        found = run(shlex.split(line))
        captured = capsys.readouterr()
        assert found == code, captured.err
        return Said(found, captured.out, captured.err)

    return call


def written(folder: Path) -> set[str]:
    """What a command left in the working folder, hidden files included."""
    return {path.name for path in folder.iterdir() if not path.is_symlink()}


# --- pages of help ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_of_help_fits_the_screen_and_explains_every_flag(said: Any, command: str) -> None:
    page = said(f"{command} --help").out
    assert page.startswith(f"Usage: penchant {command}")
    for line in page.splitlines():
        assert len(line) <= 80 or line.startswith("  penchant "), line
    parameters = _command(command).get_params(typer.Context(_command(command)))
    for parameter in parameters:
        assert parameter.help, parameter.name
        name = parameter.opts[-1] if parameter.param_type_name == "option" else parameter.metavar
        assert name in page
        if isinstance(parameter.default, (int, str)) and not isinstance(parameter.default, bool):
            assert f"(default: {parameter.default})" in " ".join(page.split())


def _command(path: str) -> Any:
    found: Any = typer.main.get_command(app)
    for name in path.split():
        found = found.commands[name]
    return found


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ("demo", "data list")])
def test_the_examples_of_a_page_can_be_typed(said: Any, command: str) -> None:
    examples = [line for line in said(f"{command} -h").out.splitlines() if line.startswith("  penchant ")]
    assert examples
    for example in examples:
        words = shlex.split(example)[1:]
        assert words[: len(command.split())] == command.split()
        _command(command).make_context(command, words[len(command.split()) :])


def test_every_setting_of_every_model_is_a_flag_with_its_default(said: Any) -> None:
    page = " ".join(said("fit --help").out.split())
    for model in (*MODELS, "own"):
        for field in model_class(model).settings_class.describe():
            assert f"--{field.name.replace('_', '-')} " in page
    defaults = "(default: dot, mf 50; explicit-als, als, bpr, sequence 64; mlp 32; bayes 16)"
    assert f"How many numbers describe each user and each item. {defaults}" in page
    assert "--rating-range LOW,HIGH|auto|none" in page


@pytest.mark.parametrize("line", ["", "-h", "--help"])
def test_penchant_alone_shows_its_commands(said: Any, line: str) -> None:
    page = said(line).out
    for command in COMMANDS:
        assert command.split()[0] in page


def test_a_group_alone_shows_its_commands(said: Any) -> None:
    assert "describe  Describe a table of ratings" in said("data").out


def test_version(said: Any) -> None:
    from penchant import __version__

    assert said("--version").out == f"penchant {__version__}\n"


# --- mistakes ---------------------------------------------------------------------------------------

MISTAKES = {
    "fit": ("Missing argument 'RATINGS'", "penchant fit --help"),
    "nosuch": ("No such command 'nosuch'", "penchant --help"),
    "fti ratings.csv": ("'fit'?",),
    "fit ratings.csv more": ("unexpected extra argument",),
    "fit ratings.csv --modle mf": ("penchant fit has no option --modle", "Did you mean --model"),
    "compare ratings.csv --model mf": ("Did you mean --models?",),
    "fit ratings.csv --factors": ("--factors", "requires an argument"),
    "fit ratings.csv --model nosuch": ("no model 'nosuch'", "bias, dot, mf, explicit-als, mlp"),
    "fit ratings.csv --model own": ("Which class", "path/file.py:ClassName"),
    "fit ratings.csv --model nosuch.py:Net": ("no Python file nosuch.py",),
    "fit ratings.csv --model mf --layers 100": ("mf has no setting 'layers'", "factors, epochs"),
    "fit ratings.csv --model mlp --layers abc": ("layers is 'abc'", "100,50"),
    "fit ratings.csv --factors 2.5": ("factors is 2.5", "whole number"),
    "fit ratings.csv --epochs 0": ("epochs is 0", "at least 1"),
    "fit ratings.csv --rating-range 5,0": ("rating_range", "below its second"),
    "fit ratings.csv --set factors": ("--set 'factors' is not NAME=VALUE",),
    "fit ratings.csv --set a=1": ("mf has no setting 'a'",),
    "fit ratings.csv --seed -1": ("--seed is -1", "from 0 to"),
    "fit ratings.csv --seed abc": ("--seed is 'abc'", "whole number"),
    "fit ratings.csv --device tpu": ("--device is 'tpu'", "auto, cpu, cuda"),
    "fit ratings.csv --patience 0": ("--patience is 0", "1 or more"),
    "fit ratings.csv --patience 2 --valid-fraction 0": ("needs validation ratings",),
    "fit ratings.csv --keep-best --valid-fraction 0": ("needs validation ratings",),
    "fit ratings.csv --valid-fraction 1.5": ("--valid-fraction is 1.5", "from 0 to below 1"),
    "fit ratings.csv --valid-fraction nan": ("--valid-fraction is nan",),
    "fit ratings.csv --valid-fraction much": ("--valid-fraction is much",),
    "fit ratings.csv --split what": ("--split is 'what'", "random, time, users, last-n"),
    "fit ratings.csv --split last-n --last-n 0": ("--last-n is 0",),
    "fit ratings.csv --last-n 2": ("--last-n has no meaning with --split random",),
    "fit ratings.csv --split last-n --valid-fraction 0.1": ("--valid-fraction has no meaning with --split last-n",),
    "fit train.csv --valid valid.csv --valid-fraction 0.1": ("--valid says what to validate on",),
    "fit ratings.csv --duplicates what": ("--duplicates is 'what'",),
    "fit nosuch.csv": ("nosuch.csv", "no data set of that name", "ml-100k"),
    "fit ratings.csv --items nosuch.csv": ("nosuch.csv", "Check the path"),
    "fit ratings.csv --user nosuch": ("no column 'nosuch'", "userId, movieId, rating"),
    "fit items.csv": ("items.csv", "looks like the user", "--user COLUMN"),
    "compare ratings.csv --models ,": ("no models to compare", "bias,dot,mf,mlp"),
    "compare ratings.csv --models bias,nosuch": ("no model 'nosuch'",),
    "compare ratings.csv --models bias,mf --layers 5": ("None of bias, mf has a setting 'layers'",),
    "compare ratings.csv --valid-fraction 0": ("A comparison needs validation ratings",),
    "evaluate mf ratings.csv --metrics mse,foo": ("no metric 'foo'", "mse, rmse, mae"),
    "evaluate mf ratings.csv --metrics ''": ("No metric",),
    "recommend nosuch --user 1": ("no model at nosuch", "penchant fit"),
    "recommend . --user 1": ("not a penchant model", "manifest.json"),
    "recommend mf": ("--user, --users and --rated",),
    "recommend mf --user 1 --rated items.csv": ("--user, --users and --rated",),
    "recommend mf --user 1 -k 0": ("-k is 0", "1 or more"),
    "recommend mf --user 1 -k many": ("-k is 'many'",),
    "recommend mf --user 999": ("no user '999'", "such as 0, 1, 2", "--rated FILE"),
    "recommend mf --user abc": ("no user 'abc'",),
    "recommend mf --user 1.0": ("no user '1.0'",),
    "recommend mf --users items.csv": ("items.csv", "No column looks like the user", "Call it 'user'"),
    "recommend mf --rated items.csv": ("items.csv", "No column looks like the rating", "Call it 'rating'"),
    "recommend mf --user 1 -o lists.txt": ("lists.txt", ".parquet"),
    "recommend mf --user 1 -o nosuch/lists.csv": ("no folder", "nosuch"),
    "predict mf nosuch.csv": ("nosuch.csv",),
    "predict mf ratings.csv --user nosuch": ("no column 'nosuch'",),
    "predict mf ratings.csv -o out": ("out has no suffix",),
    "predict mf ratings.csv --interval 1.5": ("--interval is 1.5", "above 0 and below 1"),
    "predict mf ratings.csv --interval 0": ("--interval is 0", "above 0 and below 1"),
    "predict mf ratings.csv --interval x": ("--interval is x", "such as 0.9"),
    "predict mf ratings.csv --interval nan": ("--interval is nan",),
    "predict mf ratings.csv --time nosuch": ("no column 'nosuch'",),
    "explain mf --user 1": ("Give both --user and --item",),
    "explain mf -k 0": ("-k is 0",),
    "similar mf": ("Missing argument 'ITEM'",),
    "similar mf 'Flim 3 (1953)'": ("no item 'Flim 3 (1953)'", "Did you mean", "Film 3 (1953)"),
    "similar mf 3 -k 0": ("-k is 0",),
    "similar mf 3 --min-ratings -1": ("--min-ratings is -1",),
    "similar bias 3": ("no item factors", "dot, mf, explicit-als, mlp, bayes, ease, als, bpr or sequence"),
    "plot mf nosuch -o a.png": ("WHAT is 'nosuch'", "history, map, calibration"),
    "plot mf history": ("Missing option '-o'",),
    "data nosuch": ("No such command 'nosuch'", "penchant data --help"),
    "data fetch nosuch": ("no data set 'nosuch'", "ml-100k"),
    "data describe nosuch.csv": ("nosuch.csv",),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_with_its_remedy_and_leaves_nothing(said: Any, there: Path, line: str) -> None:
    answer = said(line, code=2)
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") >= 2, "no remedy"
    for part in MISTAKES[line]:
        assert part in answer.err
    assert answer.out == ""
    assert written(there) == set()


@pytest.mark.parametrize("command", ["fit ratings.csv --model bias -o {}", "compare ratings.csv --models bias -o {}"])
def test_where_a_model_cannot_be_saved_is_told_before_anything_is_read(said: Any, there: Path, command: str) -> None:
    (there / "file").write_text("mine", encoding="utf-8")
    answer = said(command.format("file/deeper"), code=2)
    assert "cannot be written" in answer.err
    assert answer.out == ""
    assert written(there) == {"file"}


def test_a_file_or_folder_of_others_is_never_replaced(said: Any, there: Path) -> None:
    (there / "mine").mkdir()
    (there / "mine" / "letter.txt").write_text("mine", encoding="utf-8")
    answer = said("fit ratings.csv --model bias -o mine", code=2)
    assert "not a penchant model" in answer.err
    assert answer.out == ""
    assert [path.name for path in (there / "mine").iterdir()] == ["letter.txt"]


def test_a_model_larger_than_the_memory_is_told(said: Any, there: Path) -> None:
    answer = said("fit ratings.csv --factors 100000000000000 -o saved", code=2)
    assert "error: Fitting mf would take about" in answer.err
    assert "Use fewer --factors." in answer.err
    forced = said("fit ratings.csv --factors 100000000000000 --memory 1000000000000000000TB -o saved", code=2)
    assert "error: There is not enough memory." in forced.err
    assert written(there) == set()


def test_an_items_table_of_other_ids_is_told(said: Any, there: Path) -> None:
    (there / "other.csv").write_text("movieId,title\nx,X\ny,Y\n", encoding="utf-8")
    answer = said("fit ratings.csv --items other.csv", code=2)
    assert "other.csv: None of its items occurs in the ratings" in answer.err


def test_a_bad_line_of_ratings_is_named(said: Any, there: Path) -> None:
    (there / "bad.csv").write_text("user,item,rating\n1,2,3\n1,3,abc\n2,2,4\n", encoding="utf-8")
    assert "bad.csv, line 3, column 'rating'" in said("fit bad.csv", code=2).err


# --- fit --------------------------------------------------------------------------------------------


def test_fit_tells_what_it_does(said: Any, there: Path) -> None:
    answer = said("fit ratings.csv --items items.csv --model mf --epochs 3 -o saved")
    lines = answer.out.splitlines()
    assert lines[0].startswith("Read ratings.csv: 1,039 ratings of 89 items by 60 users, from 0.5 to 5.")
    assert lines[1].startswith("Split: 831 ratings to train on, 208 to validate on (random 20%, seed 0)")
    table = lines.index(progress.EPOCH_HEADER)
    assert lines[table - 1] == "mf"
    assert [line.split()[0] for line in lines[table + 1 : table + 4]] == ["0", "1", "2"]
    assert "Validation" in lines
    assert lines[-1] == "Saved in saved"
    assert answer.err == ""
    assert not any(line != line.rstrip() for line in lines)
    assert written(there) == {"saved"}
    assert len(Recommender.load(there / "saved").log.epochs) == 3


def test_fit_without_out_says_that_nothing_is_saved(said: Any, there: Path) -> None:
    assert "Not saved; -o FOLDER saves the model." in said("fit ratings.csv --model bias").out
    assert written(there) == set()


def test_fit_again_replaces_the_model(said: Any, there: Path) -> None:
    for factors in (4, 6):
        said(f"fit ratings.csv --factors {factors} --epochs 1 -o saved")
    assert Recommender.load(there / "saved").model.item_factors().shape[1] == 6
    assert written(there) == {"saved"}


def test_json_is_all_there_is_on_stdout(said: Any, there: Path) -> None:
    events = said("fit ratings.csv --model mf --epochs 2 -o saved --json").events
    assert [event["event"] for event in events] == ["epoch", "epoch", "result"]
    assert set(events[0]) == {"event", "model", "epoch", "train_loss", "valid_loss", "seconds"}
    result = events[-1]
    assert set(result["valid"]) == {"mse", "rmse", "mae"}
    assert result["valid"]["mse"] == pytest.approx(events[1]["valid_loss"], rel=1e-5)
    assert result["valid"]["rmse"] == pytest.approx(result["valid"]["mse"] ** 0.5)
    assert (result["model"], result["artifact"], result["ending"]) == ("mf", "saved", "finished")
    assert result["fit_seconds"] >= sum(event["seconds"] for event in events[:2])


def test_without_validation_the_losses_are_those_of_training(said: Any, there: Path) -> None:
    events = said("fit ratings.csv --model bias --valid-fraction 0 --json").events
    assert events[0]["valid_loss"] is None
    assert events[-1]["valid"] is None
    assert "none to validate on" in said("fit ratings.csv --model bias --valid-fraction 0").out


def test_a_table_of_its_own_validates(said: Any, there: Path) -> None:
    answer = said("fit train.csv --valid valid.csv --model bias")
    assert answer.out.count("Read ") == 2
    assert "831 ratings to train on, 208 to validate on" in answer.out


def test_a_note_is_told_once_for_both_tables(said: Any, there: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (there / name).write_text("user,item,rating\n1,1,3\n1,1,4\n1,2,2\n2,1,5\n2,2,1\n", encoding="utf-8")
    assert said("fit a.csv --valid b.csv --model bias").err.count("repeats a user and an item") == 1


def test_a_setting_reaches_the_model(said: Any, there: Path) -> None:
    said("fit ratings.csv --factors 7 --rating-range 0,5.5 --epochs 1 --seed 9 -o saved --json")
    fitted = Recommender.load(there / "saved")
    assert fitted.model.settings.factors == 7
    assert fitted.model.settings.rating_range == (0.0, 5.5)
    assert fitted.log.seed == 9


def test_patience_ends_a_fit_and_says_so(said: Any, there: Path) -> None:
    answer = said("fit ratings.csv --epochs 200 --learning-rate 0.3 --patience 2")
    assert "Stopped early, no better validation loss since: the weights of epoch" in answer.out


def test_a_column_of_the_items_table_can_be_the_item(said: Any, there: Path) -> None:
    said("fit ratings.csv --items items.csv --item title --model bias -o saved --json")
    assert Recommender.load(there / "saved").items.ids[0].startswith("Film ")


# --- Ctrl-C -----------------------------------------------------------------------------------------


@pytest.fixture
def interrupted_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ctrl-C when a model's epoch has been printed."""

    def arrange(model: str, epoch: int) -> None:
        def ended(self: Any, name: str, found: Epoch) -> None:
            if (name, found.epoch) == (model, epoch):
                raise KeyboardInterrupt

        monkeypatch.setattr(progress.EpochTable, "ended_epoch", ended)

    return arrange


def test_ctrl_c_keeps_the_best_epoch_and_saves_it(said: Any, there: Path, interrupted_after: Any) -> None:
    interrupted_after("mf", 2)
    answer = said("fit ratings.csv --epochs 50 -o saved", code=130)
    assert "note: Interrupted after 3 epochs: the weights of epoch" in answer.err
    assert answer.out.endswith("Saved in saved\n")
    assert Recommender.load(there / "saved").log.ending == "interrupted"


def test_ctrl_c_before_the_first_epoch_writes_nothing(said: Any, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(self: Any, model: str, epochs: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.EpochTable, "started", started)
    answer = said("fit ratings.csv -o saved", code=130)
    assert "nothing was learnt, nothing was written" in answer.err
    assert written(there) == set()


def test_ctrl_c_while_reading_is_no_traceback(said: Any, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("penchant.data.read.read_ratings", read)
    assert said("fit ratings.csv -o saved", code=130).err == "error: Interrupted.\n"


def test_ctrl_c_in_a_comparison_shows_what_has_learnt(said: Any, there: Path, interrupted_after: Any) -> None:
    interrupted_after("dot", 1)
    answer = said("compare ratings.csv --models bias,dot,mf -o saved", code=130)
    assert "Comparison on the validation ratings" in answer.out
    assert "Interrupted: 2 of 3 models had learnt something." in answer.err
    assert {path.name for path in (there / "saved").iterdir()} == {"bias", "dot"}


# --- compare and evaluate ---------------------------------------------------------------------------


def test_compare_sorts_by_error_and_saves_all(said: Any, there: Path) -> None:
    answer = said("compare ratings.csv --models bias,dot,mf --factors 5 -o saved")
    table = answer.out.partition("Comparison on the validation ratings\n")[2].splitlines()[1:4]
    errors = [float(line.split()[1]) for line in table]
    assert errors == sorted(errors)
    assert {line.split()[0] for line in table} == {"bias", "dot", "mf"}
    assert Recommender.load(there / "saved" / "dot").model.settings.factors == 5
    assert answer.out.endswith("The models are in saved\n")


def test_compare_in_json_ends_with_a_result_for_each(said: Any, there: Path) -> None:
    events = said("compare ratings.csv --models mf,bias --json").events
    results = [event for event in events if event["event"] == "result"]
    assert {result["model"] for result in results} == {"bias", "mf"}
    assert results[0]["valid"]["mse"] <= results[1]["valid"]["mse"]


def test_a_model_named_twice_is_fitted_once(said: Any, there: Path) -> None:
    events = said("compare ratings.csv --models bias,bias --json").events
    assert [event["event"] for event in events] == ["epoch", "result"]


def test_evaluate_ends_with_the_metrics(said: Any, there: Path) -> None:
    answer = said("evaluate mf valid.csv --metrics rmse,mae --json")
    result = json.loads(answer.out.splitlines()[-1])
    assert result["event"] == "result"
    assert set(result["metrics"]) == {"rmse", "mae"}
    assert result["n"] == 208
    table = said("evaluate mf valid.csv").out
    assert [line.split()[0] for line in table.splitlines()[1:5]] == ["metric", "mse", "rmse", "mae"]


def test_evaluate_ends_with_what_intervals_cover(said: Any, there: Path) -> None:
    said("fit train.csv -m bias --valid valid.csv -o fresh")
    result = said("evaluate fresh valid.csv --json").events[-1]["coverage"]
    assert next(one["covered"] for one in result["levels"] if one["level"] == 0.9) == pytest.approx(0.9, abs=0.02)
    known = result["n_calibrated_on"]
    last = said("evaluate fresh valid.csv").out.splitlines()[-1]
    assert last.startswith("  90 % intervals cover 9")
    assert f"they were calibrated on {known} of these ratings" in last
    assert "calibrated" not in said("evaluate fresh train.csv").out


def test_evaluate_says_when_the_model_has_seen_the_ratings(said: Any, there: Path) -> None:
    answer = said("evaluate mf ratings.csv --json")
    assert answer.events[-1]["n_trained_on"] == 831
    assert "The model was trained on 831 of 1,039 ratings" in answer.err


def test_evaluate_says_when_no_id_is_known(said: Any, there: Path) -> None:
    (there / "other.csv").write_text("user,item,rating\na,x,3\na,y,4\nb,x,5\n", encoding="utf-8")
    answer = said("evaluate mf other.csv")
    assert "knows none of these items" in answer.err
    assert "3 ratings, 3 of them with a user or item that the model does not know" in answer.out


# --- recommend --------------------------------------------------------------------------------------


def test_recommend_is_what_the_library_says(said: Any, there: Path) -> None:
    expected = Recommender.load(there / "mf").recommend(7, 4)
    event = said("recommend mf --user 7 -k 4 --json").events[0]
    assert event["user"] == 7
    assert [item["item"] for item in event["items"]] == [one.item for one in expected]
    assert event["items"][0]["prediction"] == pytest.approx(expected[0].prediction, abs=1e-6)
    table = said("recommend mf --user 7 -k 4").out.splitlines()
    assert table[1:3] == ["For user 7", table[2]]
    assert [line.split("   ")[1] for line in table[3:]] == [one.name for one in expected]


def test_blanks_around_an_id_are_forgiven(said: Any, there: Path) -> None:
    assert said("recommend mf --user ' 7 ' -k 1 --json").out == said("recommend mf --user 7 -k 1 --json").out
    assert said("explain mf --user ' 7' --item ' film 3 (1953) '").out.startswith("\nWhy Film 3 (1953) for user 7\n")


def test_more_items_than_there_are_is_all_that_are_left(said: Any, there: Path) -> None:
    items = said("recommend mf --user 7 -k 1000000 --json").events[0]["items"]
    seen = said("recommend mf --user 7 -k 1000000 --include-seen --json").events[0]["items"]
    assert len(items) < len(seen) == len(Recommender.load(there / "mf").items)


@pytest.mark.parametrize("header", ["user", "userId", None])
def test_many_users_by_a_table(said: Any, there: Path, header: str | None) -> None:
    lines = ["3", "7", "3"] if header is None else [header, "3", "7", "3"]
    (there / "users.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    events = said("recommend mf --users users.csv -k 2 --json").events
    assert [event["user"] for event in events] == [3, 7]
    single = said("recommend mf --user 7 -k 2 --json").events[0]
    assert events[1] == single
    text = said("recommend mf --users users.csv -k 2").out
    assert text.count("For user") == 2


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_lists_are_written_in_every_format(said: Any, there: Path, suffix: str) -> None:
    (there / "users.csv").write_text("user\n3\n7\n", encoding="utf-8")
    answer = said(f"recommend mf --users users.csv -k 5 -o lists{suffix}")
    assert answer.out == f"2 lists of up to 5 items in lists{suffix}\n"
    readers: dict[str, Any] = {
        ".parquet": pl.read_parquet,
        ".csv": pl.read_csv,
        ".tsv": lambda path: pl.read_csv(path, separator="\t"),
        ".jsonl": pl.read_ndjson,
    }
    frame = readers[suffix](there / f"lists{suffix}")
    fitted = Recommender.load(there / "mf")
    expected = fitted.lists_frame(fitted.recommend_many([3, 7], 5))
    assert frame.columns == expected.columns
    assert frame.drop("prediction", "score").cast({"rank": pl.Int32}).equals(expected.drop("prediction", "score"))
    assert written(there) == {"users.csv", f"lists{suffix}"}


def test_one_list_is_written_too(said: Any, there: Path) -> None:
    said("recommend mf --user 7 -k 5 -o list.csv")
    assert pl.read_csv(there / "list.csv")["item"].len() == 5


def test_an_unknown_user_of_a_table_is_named_or_left_out(said: Any, there: Path) -> None:
    (there / "users.csv").write_text("user\n3\n999\n7\n998\n", encoding="utf-8")
    answer = said("recommend mf --users users.csv -o lists.csv", code=2)
    assert "users.csv, line 3: There is no user 999 in this model (2 of 4 lines are so)" in answer.err
    assert written(there) == {"users.csv"}
    answer = said("recommend mf --users users.csv --skip-unknown --json")
    assert [event["user"] for event in answer.events] == [3, 7]
    assert "2 lines with a user that the model does not know: left out" in answer.err


def test_somebody_new_by_a_few_ratings(said: Any, there: Path) -> None:
    (there / "mine.csv").write_text("title,rating\nfilm 3 (1953),5\nFilm 8 (1958),1\n", encoding="utf-8")
    event = said("recommend mf --rated mine.csv -k 3 --json").events[0]
    expected = Recommender.load(there / "mf").recommend(rated={3: 5.0, 8: 1.0}, k=3)
    assert event["user"] == "mine"
    assert [item["item"] for item in event["items"]] == [one.item for one in expected]
    assert said("recommend mf --rated mine.csv -k 3").out.startswith("\nFor the ratings in mine.csv\n")


def test_a_rating_outside_the_scale_is_told(said: Any, there: Path) -> None:
    (there / "mine.csv").write_text("item,rating\n3,50\n", encoding="utf-8")
    assert "Rate from 0.5 to 5" in said("recommend mf --rated mine.csv", code=2).err


# --- predict ----------------------------------------------------------------------------------------


def test_predictions_are_csv_with_what_is_known(said: Any, there: Path) -> None:
    (there / "pairs.csv").write_text("user,item\n7,3\n7,999\n999,3\n999,999\n", encoding="utf-8")
    answer = said("predict mf pairs.csv")
    lines = answer.out.splitlines()
    assert lines[0] == "user,item,prediction,known"
    assert [line.rpartition(",")[2] for line in lines[1:]] == ["both", "user", "item", "neither"]
    assert float(lines[1].split(",")[2]) == pytest.approx(Recommender.load(there / "mf").predict(7, 3), abs=1e-4)
    assert "3 pairs have a user or an item that the model does not know" in answer.err
    assert [event["known"] for event in said("predict mf pairs.csv --json").events] == [
        *("both", "user", "item", "neither")
    ]
    assert said("predict mf pairs.csv -o out.parquet").out == "4 predictions in out.parquet\n"
    assert pl.read_parquet(there / "out.parquet").columns == ["user", "item", "prediction", "known"]


def test_intervals_are_in_every_form_of_predictions(said: Any, there: Path) -> None:
    (there / "pairs.csv").write_text("user,item,when\n7,3,2020-01-01\n7,999,2021-01-01\n", encoding="utf-8")
    columns = ["user", "item", "prediction", "low", "high", "known"]
    lines = said("predict mf pairs.csv --interval 0.9").out.splitlines()
    assert lines[0] == ",".join(columns)
    expected = Recommender.load(there / "mf").predict(7, 3, interval=0.9)
    assert [float(cell) for cell in lines[1].split(",")[2:5]] == pytest.approx(
        [expected.prediction, expected.low, expected.high], abs=1e-4
    )
    event = said("predict mf pairs.csv --interval 0.9 --time when --json").events[0]
    assert list(event) == columns
    assert event["low"] == pytest.approx(expected.low, abs=1e-5)
    said("predict mf pairs.csv --interval 0.5 -o out.parquet")
    frame = pl.read_parquet(there / "out.parquet")
    assert frame.columns == columns
    assert frame["low"][0] > expected.low


def test_a_model_without_validation_has_no_intervals(said: Any, there: Path) -> None:
    said("fit train.csv -m bias --valid-fraction 0 -o alone")
    answer = said("predict alone ratings.csv --interval 0.9", code=2)
    assert "fitted without validation ratings" in answer.err
    assert "--valid FILE" in answer.err
    assert answer.out == ""
    answer = said("plot alone calibration -o picture.png", code=2)
    assert "What the intervals of alone cover was not measured." in answer.err
    assert "intervals cover" not in said("evaluate alone valid.csv").out
    assert "coverage" not in said("evaluate alone valid.csv --json").events[-1]
    assert not (there / "picture.png").exists()


def test_pairs_of_other_ids_are_told(said: Any, there: Path) -> None:
    (there / "pairs.csv").write_text("customer,sku\na,x\nb,y\n", encoding="utf-8")
    assert "none of these users and none of these items" in said("predict mf pairs.csv").err


# --- looking ----------------------------------------------------------------------------------------


def test_explain_shows_best_and_worst_with_counts(said: Any, there: Path) -> None:
    best, worst = Recommender.load(there / "mf").extremes(3)
    event = said("explain mf -k 3 --json").events[0]
    assert [one["item"] for one in event["best"]] == [one.item for one in best]
    assert [one["n_ratings"] for one in event["worst"]] == [one.n_ratings for one in worst]
    lines = said("explain mf -k 3").out.splitlines()
    assert lines[1] == "Best by bias"
    assert lines[2].split() == ["item", "id", "bias", "ratings"]
    assert lines[3].startswith(best[0].name)
    assert lines[3].split()[-2:] == [f"{best[0].value:+.3f}", str(best[0].n_ratings)]


def test_an_explanation_of_a_score_adds_up(said: Any, there: Path) -> None:
    event = said("explain mf --user 7 --item 'film 3 (1953)' --json").events[0]
    assert (event["user"], event["item"]) == (7, "Film 3 (1953)")
    assert sum(event["parts"].values()) == pytest.approx(event["score"], abs=1e-4)
    assert "how the two fit" in said("explain mf --user 7 --item 3").out


def test_similar_finds_a_name_in_any_case(said: Any, there: Path) -> None:
    by_name, by_id = said("similar mf 'FILM 3 (1953)' -k 3 --json"), said("similar mf 3 -k 3 --json")
    assert by_name.out == by_id.out
    assert len(by_name.events[0]["similar"]) == 3
    assert said("similar mf 3 -k 3").out.startswith("\nMost like Film 3 (1953)\n")


@pytest.mark.parametrize("what", ["history", "map", "calibration"])
def test_a_picture_is_written(said: Any, there: Path, what: str) -> None:
    pytest.importorskip("matplotlib")
    assert said(f"plot mf {what} -o picture.png").out == "The picture is in picture.png\n"
    assert (there / "picture.png").read_bytes().startswith(b"\x89PNG")


# --- data sets --------------------------------------------------------------------------------------


def test_data_sets_are_listed(said: Any) -> None:
    from penchant.data.datasets import DATASETS

    assert [event["name"] for event in said("data list --json").events] == list(DATASETS)
    assert "MovieLens 100K" in said("data list").out


def test_a_table_is_described(said: Any, there: Path) -> None:
    found = said("data describe ratings.csv --json").events[0]
    assert (found["n_ratings"], found["n_users"], found["n_items"]) == (1039, 60, 89)
    text = said("data describe ratings.csv").out
    assert "How ratings are distributed" in text
    assert "of all pairs of a user and an item are rated" in text


# --- modules of one's own ---------------------------------------------------------------------------


@pytest.fixture
def net(there: Path) -> Iterator[Path]:
    pytest.importorskip("torch")
    (there / "net.py").write_text(NET, encoding="utf-8")
    yield there
    sys.modules.pop("penchant_own_net", None)


def test_a_module_of_ones_own_is_a_model_like_others(said: Any, net: Path) -> None:
    answer = said(
        "fit ratings.csv --items items.csv --model net.py:DotProduct --set n_factors=6 --epochs 2 -o own --json"
    )
    assert {event["model"] for event in answer.events} == {"DotProduct"}
    module = "--module net.py:DotProduct"
    assert len(said(f"recommend own --user 7 -k 3 {module} --json").events[0]["items"]) == 3
    assert "Best by bias" in said(f"explain own {module}").out
    assert said(f"predict own valid.csv {module}").out.count("\n") == 209
    assert "Say where the class is: --module" in said("recommend own --user 7", code=2).err
    assert "WrongShape returned" in said("recommend own --user 7 --module net.py:WrongShape", code=2).err
    assert "Needy cannot be made" in said("recommend own --user 7 --module net.py:Needy", code=2).err


FAULTS = {
    "net.py:Missing": ("net.py has no class Missing", "net.py:DotProduct"),
    "net.py:not_a_class": ("net.py has no class not_a_class",),
    "net.py": ("Which class of net.py?", "net.py:DotProduct"),
    "net.py:WrongShape": ("WrongShape returned", "one prediction a pair"),
    "net.py:Needy": ("Needy cannot be made", "needed"),
    "net.py:DotProduct --set n_factors=many": ("DotProduct failed (line 8 of net.py)", "--set NAME=VALUE"),
    "net.py:DotProduct --set nosuch=1": ("nosuch",),
    "raises.py:Net": ("raises.py fails when it is run (line 2 of raises.py): ValueError: no",),
    "broken.py:Net": ("broken.py fails when it is run (line 1 of broken.py): SyntaxError",),
    "leaves.py:Net": ("leaves.py fails when it is run", "SystemExit"),
}


@pytest.mark.parametrize("model", FAULTS)
def test_a_fault_in_a_module_is_told_with_its_line(said: Any, net: Path, model: str) -> None:
    (net / "raises.py").write_text("\nraise ValueError('no')\n", encoding="utf-8")
    (net / "broken.py").write_text("def f(:\n", encoding="utf-8")
    (net / "leaves.py").write_text("import sys\nsys.exit(3)\n", encoding="utf-8")
    before = written(net)
    answer = said(f"fit ratings.csv --epochs 1 -o saved --model {model}", code=2)
    for part in FAULTS[model]:
        assert part in answer.err
    assert written(net) - {"__pycache__"} == before


@pytest.mark.parametrize("line", ["fit ratings.csv --model net.py:Dot", "compare ratings.csv --models bias,net.py:Dot"])
def test_a_module_without_torch_is_told_before_anything_is_read(
    said: Any, there: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    (there / "net.py").write_text("import torch\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "penchant.models.torch_training", raising=False)
    monkeypatch.delattr("penchant.models.torch_training", raising=False)
    answer = said(line, code=2)
    assert "pip install 'penchant[torch]'" in answer.err
    assert answer.out == ""


def test_a_model_that_no_gpu_can_train_is_told_before_anything_is_read(said: Any, there: Path) -> None:
    answer = said("compare ratings.csv --models bias,mlp --device cuda", code=2)
    assert "bias is trained on the processor" in answer.err
    assert answer.out == ""


def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(said: Any, net: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    answer = said("fit ratings.csv --model net.py:DotProduct --device cuda", code=2)
    assert "finds no GPU" in answer.err
    assert answer.out == ""


# --- small parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("20", 20), ("0.5", 0.5), ("true", True), ("False", False), ("relu", "relu"), ("", "")]
)
def test_a_value_for_a_constructor_is_guessed(text: str, value: Any) -> None:
    given = dict.fromkeys(options.fields(), None) | {"other": [f"name={text}"]}
    found = options.parse_settings(given, ["own"])["name"]
    assert found == value
    assert type(found) is type(value)


# --- threads and memory -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", ["1", "2", "16"])
def test_lists_are_the_same_for_any_number_of_threads(said: Any, there: Path, threads: str) -> None:
    (there / "users.csv").write_text("user\n3\n7\n9\n", encoding="utf-8")
    said(f"recommend mf --users users.csv -k 5 --threads {threads} -o lists.csv")
    fitted = Recommender.load(there / "mf")
    expected = fitted.lists_frame(fitted.recommend_many([3, 7, 9], 5))
    assert pl.read_csv(there / "lists.csv")["item"].to_list() == expected["item"].to_list()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("recommend mf --user 3 --threads 0", "--threads is 0"),
        ("fit ratings.csv --memory much", "memory is 'much'"),
        ("compare ratings.csv --memory 0GB", "memory is '0GB'"),
    ],
)
def test_threads_and_memory_that_mean_nothing(said: Any, arguments: str, problem: str) -> None:
    assert problem in said(arguments, code=2).err


# --- published data ---------------------------------------------------------------------------------


def test_a_publishers_folder_is_both_tables(said: Any, published: Path, tmp_path: Path) -> None:
    answer = said(f"fit {published / 'ml-latest-small'} --model mf --epochs 3 -o {tmp_path / 'saved'}")
    assert "100,836 ratings of 9,724 items by 610 users" in answer.out
    similar = said(f"similar {tmp_path / 'saved'} 'silence of the lambs, the (1991)'")
    assert similar.out.startswith("\nMost like Silence of the Lambs, The (1991)\n")


def test_the_publishers_own_split_validates(said: Any, published: Path) -> None:
    base, test = published / "ml-100k" / "u1.base", published / "ml-100k" / "u1.test"
    result = said(f"fit {base} --valid {test} --model bias --json").events[-1]
    assert 0.9 < result["valid"]["mse"] < 0.97
