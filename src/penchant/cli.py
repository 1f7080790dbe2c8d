"""The command line: one function a command. Each parses, calls the library, and prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import __version__, terminal
from penchant.errors import InputError, PenchantError, SettingError
from penchant.models.fitting import FitOptions, NothingLearnt
from penchant.options import FITTING, READING, SETTINGS, SPLITTING, parse_settings, with_groups

BAD_INPUT = 2
INTERRUPTED = 130

app = typer.Typer(
    name="penchant",
    help="From a table of ratings to a trained, explained, evaluated and saved recommender.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Data sets by name: list, fetch, describe.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Flags = dict[str, Any]
Ratings = Annotated[
    str,
    typer.Argument(metavar="RATINGS", help="A file, a folder laid out as its publisher does, or a data set's name."),
]
ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A folder that penchant fit wrote.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Seed = Annotated[int, typer.Option(help="All randomness comes from it.")]
UserColumn = Annotated[str | None, typer.Option("--user", help="Column of users.")]
ItemColumn = Annotated[str | None, typer.Option("--item", help="Column of items.")]
Module = Annotated[
    str | None, typer.Option(metavar="FILE.py:CLASS", help="Where the class is, for a model of your own torch module.")
]


def main() -> None:
    """The entry point: errors become a message and exit code 2, Ctrl-C exits with 130."""
    try:
        app()
    except PenchantError as error:
        terminal.fail(error.problem, error.remedy)
        sys.exit(BAD_INPUT)
    except NothingLearnt:
        terminal.fail("Interrupted before the first epoch ended: nothing was learnt, nothing was written.", "")
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        terminal.fail("Interrupted.", "")
        sys.exit(INTERRUPTED)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"penchant {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


# --- fitting ----------------------------------------------------------------------------------------


@app.command()
@with_groups(READING, SPLITTING, FITTING, SETTINGS)
def fit(
    ratings: Ratings,
    reading: Flags,
    splitting: Flags,
    fitting: Flags,
    settings: Flags,
    model: Annotated[
        str, typer.Option("--model", "-m", help="bias, dot, mf, mlp, or FILE.py:CLASS for your own torch module.")
    ] = "mf",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder to save the model in.")] = None,
    json: Json = False,
) -> None:
    """Train a model on a table of ratings, show its losses, and save it."""
    from penchant import job

    unfitted = job.build_any(model, parse_settings(settings, [job.kind_of(model)]))
    split = _read_split(ratings, reading, splitting, fitting["seed"], json)
    with _listening(json) as listener:
        fitted = job.fit_model(unfitted, split, FitOptions(listener=listener, **fitting))
    saved = fitted.save(out) if out is not None else None
    _say_fitted(fitted, saved, json)
    if fitted.log and fitted.log.ending == "interrupted":
        raise typer.Exit(INTERRUPTED)


@app.command()
@with_groups(READING, SPLITTING, FITTING, SETTINGS)
def compare(
    ratings: Ratings,
    reading: Flags,
    splitting: Flags,
    fitting: Flags,
    settings: Flags,
    models: Annotated[str, typer.Option(help="Names, and FILE.py:CLASS, separated by commas.")] = "bias,dot,mf,mlp",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to save the models in, one folder each.")
    ] = None,
    json: Json = False,
) -> None:
    """Train several models on one split and print their losses side by side."""
    from penchant import job

    names = [name.strip() for name in models.split(",") if name.strip()]
    values = parse_settings(settings, [job.kind_of(name) for name in names])
    unfitted = list(job.build_several(names, values))
    split = _read_split(ratings, reading, splitting, fitting["seed"], json)
    with _listening(json) as listener:
        fitted = job.compare_models(unfitted, split, FitOptions(listener=listener, **fitting))
    for one in fitted:
        saved = one.save(out / terminal.display_name(one)) if out is not None else None
        if json:
            _say_fitted(one, saved, json)
    if not json:
        terminal.say_comparison(fitted)
        _say_leak(split.may_leak)
        terminal.say(f"\nThe models are in {out}." if out else "\nNothing was saved; -o FOLDER saves all of them.")


@contextmanager
def _listening(json: bool) -> Iterator[Any]:
    """Who prints the epochs; its bar is taken away whatever happens."""
    listener = terminal.EpochLines() if json else terminal.EpochTable()
    try:
        yield listener
    finally:
        listener.close()


def _read_split(ratings: str, reading: Flags, splitting: Flags, seed: int, json: bool) -> Any:
    """Read and split, telling what was read."""
    from penchant import job

    train = _read(ratings, json, **reading)
    valid = splitting.pop("valid")
    held_out = _read(str(valid), json, **reading) if valid is not None else None
    split = job.make_split(train, valid=held_out, seed=seed, **splitting)
    if not json:
        terminal.say(f"Split: {split}.")
    return split


def _read(source: str, json: bool, **how: Any) -> Any:
    from penchant.data.read import read_ratings

    _fetch_if_named(source)
    found = read_ratings(source, **how)
    if not json:
        terminal.say(
            f"Read {source}: {len(found):,} ratings of {found.n_items:,} items by {found.n_users:,} users,"
            f" from {found.scale[0]:g} to {found.scale[1]:g}."
        )
    for note in found.notes:
        terminal.warn(note)
    return found


def _fetch_if_named(source: str) -> None:
    """A data set that is not here yet is fetched with a bar before it is read."""
    from penchant.data.datasets import DATASETS, locate

    if source in DATASETS and not Path(source).exists():
        locate(source, progress=terminal.DownloadBar(source))


def _say_fitted(fitted: Any, saved: Path | None, json: bool) -> None:
    log, valid = fitted.log, fitted.about.get("valid")
    if json:
        event = {
            "event": "result",
            "model": terminal.display_name(fitted),
            "valid": valid["metrics"] if valid else None,
            "intervals": valid["intervals"] if valid else None,
            "fit_seconds": log.fit_seconds,
            "ending": log.ending,
            "kept_epoch": log.kept_epoch,
            "artifact": str(saved) if saved else None,
        }
        terminal.say_json(event)
        return
    terminal.say_ending(log)
    if valid:
        terminal.headline("Validation")
        terminal.say_metrics(valid)
        _say_leak(fitted.about["split"]["may_leak"])
    terminal.say(f"\nFitted in {terminal.seconds(log.fit_seconds)}.")
    terminal.say(f"Saved in {saved}." if saved else "Not saved; -o FOLDER saves the model.")


def _say_leak(may_leak: str) -> None:
    if may_leak:
        terminal.warn(may_leak)


@app.command()
@with_groups(READING)
def evaluate(
    model_dir: ModelDir,
    ratings: Ratings,
    reading: Flags,
    metrics: Annotated[str, typer.Option(help="Names, separated by commas.")] = "mse,rmse,mae",
    seed: Seed = 0,
    module: Module = None,
    json: Json = False,
) -> None:
    """Measure a saved model on a table of ratings, with intervals."""
    from penchant.evaluate import check_metrics

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    check_metrics(names)
    recommender = _load(model_dir, module)
    report = recommender.evaluate(_read(ratings, json, **reading), names, seed).to_json()
    if report["n_unknown"] == report["n"]:
        terminal.warn("The model knows none of these pairs; are the ids the same? (--item title for titles.)")
    if json:
        terminal.say_json({"event": "result", **report})
    else:
        terminal.say_metrics(report)


# --- answering --------------------------------------------------------------------------------------


@app.command()
def recommend(
    model_dir: ModelDir,
    user: Annotated[str | None, typer.Option(help="A user's id.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    users: Annotated[Path | None, typer.Option(help="Table with a column of users, for many at once.")] = None,
    rated: Annotated[
        Path | None, typer.Option(help="Table of item and rating: a new user, folded in without retraining.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File for the lists: .parquet, .csv or .jsonl.")
    ] = None,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Also items that the user has rated.")] = False,
    module: Module = None,
    json: Json = False,
) -> None:
    """Recommend items to a user, to many users, or to somebody new."""
    from penchant.data.write import check_writable, write_table

    if sum(given is not None for given in (user, users, rated)) != 1:
        raise SettingError("Nobody, or too many, to recommend to.", remedy="Give one of --user, --users and --rated.")
    if out is not None:
        check_writable(out)
    recommender = _load(model_dir, module)
    if users is not None:
        lists = list(recommender.recommend_many(_user_column(users, recommender), k, include_seen=include_seen))
    elif rated is not None:
        lists = [(rated.stem, recommender.recommend(rated=_rated(rated), k=k, include_seen=include_seen))]
    else:
        lists = [(user, recommender.recommend(user, k, include_seen=include_seen))]
    if out is not None:
        write_table(recommender.lists_frame(lists), out)
        terminal.say(f"{len(lists):,} lists of up to {k} items are in {out}.")
        return
    for who, items in lists:
        if json:
            terminal.say_json({"user": who, "items": [vars(item) for item in items]})
        else:
            terminal.say_recommendations(f"For {'the ratings in ' + str(rated) if rated else f'user {who}'}", items)


def _user_column(path: Path, recommender: Any) -> list[Any]:
    from penchant.data.pairs import read_ids

    return read_ids(path, recommender.users)


def _rated(path: Path) -> dict[Any, float]:
    from penchant.data.pairs import read_rated

    return read_rated(path)


@app.command()
def predict(
    model_dir: ModelDir,
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="Table with columns of users and items.")],
    user: UserColumn = None,
    item: ItemColumn = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File: .csv, .parquet or .jsonl.")] = None,
    module: Module = None,
    json: Json = False,
) -> None:
    """Predict the ratings of pairs of a user and an item."""
    from penchant.data.pairs import read_pairs
    from penchant.data.write import check_writable, write_table

    if out is not None:
        check_writable(out)
    recommender = _load(model_dir, module)
    users, items = read_pairs(pairs, user=user, item=item)
    frame = recommender.predict_pairs(users, items)
    frame.insert_column(0, users.alias("user"))
    frame.insert_column(1, items.alias("item"))
    if out is not None:
        write_table(frame, out)
        terminal.say(f"{frame.height:,} predictions are in {out}.")
    elif json:
        for row in frame.iter_rows(named=True):
            terminal.say_json(row)
    else:
        sys.stdout.write(frame.write_csv(float_precision=4))
    unknown = int((frame["known"] != "both").sum())
    if unknown:
        terminal.warn(f"{unknown:,} pairs have a user or item that the model does not know; see the column 'known'.")


# --- looking ----------------------------------------------------------------------------------------


@app.command()
def explain(
    model_dir: ModelDir,
    user: Annotated[str | None, typer.Option(help="With --item: why this user has this score for the item.")] = None,
    item: Annotated[str | None, typer.Option(help="An item's name or id.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 5,
    module: Module = None,
    json: Json = False,
) -> None:
    """Show the items liked best and least by bias; or why a user has a score for an item."""
    recommender = _load(model_dir, module)
    if (user is None) != (item is None):
        raise SettingError("A score needs a user and an item.", remedy="Give both --user and --item, or neither.")
    if user is not None and item is not None:
        row = recommender.find_item(item)
        found = recommender.explain(user, recommender.items.ids[row])
        name = recommender.item_names[row]
        if json:
            terminal.say_json({"user": user, "item": name, "parts": dict(found.parts), "score": found.score})
        else:
            terminal.headline(f"Why {name} for user {user}")
            terminal.say_parts(found.parts, found.score)
        return
    best, worst = recommender.extremes(k)
    if json:
        terminal.say_json({"best": [vars(one) for one in best], "worst": [vars(one) for one in worst]})
        return
    terminal.say_items("Best by bias", best, "bias", "{:+.3f}")
    terminal.say_items("Worst by bias", worst, "bias", "{:+.3f}")


@app.command()
def similar(
    model_dir: ModelDir,
    item: Annotated[str, typer.Argument(help="An item's name (in any case) or id.")],
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    min_ratings: Annotated[
        int | None, typer.Option(help="Leave out items with fewer ratings, whose factors are mostly chance. [20]")
    ] = None,
    module: Module = None,
    json: Json = False,
) -> None:
    """Show the items most like one (cosine of factors)."""
    recommender = _load(model_dir, module)
    found = recommender.similar(item, k, min_ratings=min_ratings)
    if json:
        terminal.say_json({"item": item, "similar": [vars(one) for one in found]})
    else:
        terminal.say_items(
            f"Most like {recommender.item_names[recommender.find_item(item)]}", found, "cosine", "{:.3f}"
        )


@app.command()
def plot(
    model_dir: ModelDir,
    what: Annotated[str, typer.Argument(help="history (loss curves) or map (items by their factors).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File: .png, .svg or .pdf.")],
    items: Annotated[int, typer.Option(help="How many of the most rated items the map shows.")] = 40,
    module: Module = None,
) -> None:
    """Draw a picture of a saved model."""
    from penchant import plots

    recommender = _load(model_dir, module)
    if what == "history":
        if recommender.log is None:
            raise InputError(f"{model_dir} has no log of a fit.")
        figure = plots.history_figure([recommender.log])
    elif what == "map":
        figure = plots.map_figure(
            recommender.model.item_factors(),
            recommender.item_names.to_list(),
            recommender.item_counts,
            shown=items,
            title=f"Items by the factors of {terminal.display_name(recommender)}",
        )
    else:
        raise SettingError(f"There is no picture '{what}'.", remedy="The pictures: history, map.")
    plots.save_figure(figure, out)
    terminal.say(f"The picture is in {out}.")


def _load(folder: Path, module: str | None) -> Any:
    from penchant.job import load_class
    from penchant.serving.recommender import Recommender

    return Recommender.load(folder, module=load_class(module) if module else None)


# --- data sets --------------------------------------------------------------------------------------


@data_app.command("list")
def data_list(json: Json = False) -> None:
    """List the data sets known by name, and which of them are here."""
    from penchant.data.datasets import DATASETS, data_folder, find

    rows = []
    for name, spec in DATASETS.items():
        here = find(name)
        if json:
            fields = {"name": name, "title": spec.title, "scale": list(spec.scale), "licence": spec.licence}
            addresses = {"homepage": spec.homepage, "addresses": list(spec.urls), "folder": str(here) if here else None}
            terminal.say_json(fields | addresses)
        rows.append((name, spec.title, f"{spec.scale[0]:g} to {spec.scale[1]:g}", "yes" if here else ""))
    if not json:
        terminal.say_table(("name", "title", "ratings", "here"), rows)
        terminal.say(f"\nThey are kept in {data_folder()} (PENCHANT_DATA names another folder).")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A data set's name.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is here.")] = False,
) -> None:
    """Fetch a data set from its publisher, verify it and unpack it."""
    from penchant.data.datasets import dataset_spec, fetch, find

    spec = dataset_spec(name)
    terminal.say(f"{spec.title}: {spec.licence}")
    here = None if force else find(name)
    folder = here or fetch(name, progress=terminal.DownloadBar(name), force=force)
    terminal.say(f"It {'was already' if here else 'is'} in {folder}.")


@data_app.command("describe")
@with_groups(READING)
def data_describe(ratings: Ratings, reading: Flags, json: Json = False) -> None:
    """Describe a table of ratings: counts, density, how ratings and items are distributed."""
    from penchant.data.describe import describe

    found = describe(_read(ratings, json, **reading))
    if json:
        terminal.say_json(found)
        return
    terminal.say_description(found)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the model and the pictures.")] = Path(
        "penchant-demo"
    ),
    seed: Seed = 0,
) -> None:
    """The main job on a real table: read, split, train four models, compare, explain, recommend, save, draw."""
    from penchant.demo import run_demo

    _fetch_if_named("demo")
    run_demo(out, seed)


if __name__ == "__main__":
    main()
