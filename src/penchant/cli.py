"""The command line: one function a command. Each parses, calls the library, and prints."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from penchant import __version__, terminal
from penchant.errors import InputError, PenchantError, SettingError, UnknownIdError
from penchant.options import (
    FITTING,
    READING,
    SPLITTING,
    ItemColumn,
    Json,
    K,
    ModelDir,
    Module,
    PlainCommand,
    PlainGroup,
    Ratings,
    Seed,
    SettingsCommand,
    UsageError,
    UserColumn,
    choice,
    how_to_split,
    parse_settings,
    usage_problem,
    whole,
    with_groups,
)

BAD_INPUT = 2
INTERRUPTED = 130  # 128 and the number of the signal, as shells say it
TERMINATED = 143
A_BLOCK = 500_000  # lines of predictions that are made into text at a time

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(name="penchant", cls=PlainGroup, add_completion=False, context_settings=HELP)
data_app = typer.Typer(cls=PlainGroup)
app.add_typer(data_app, name="data")

Flags = dict[str, Any]


def main() -> NoReturn:
    """The entry point of `penchant` and of `python -m penchant`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0, 2 for bad input, 130 after Ctrl-C, 143 after SIGTERM."""
    terminal.prepare_streams()
    with warnings.catch_warnings(), _terminable() as terminated:
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # for programmers; python -W shows them
        try:
            code = _invoke(arguments)
            if sys.stdout is not None:  # as after >&- in a shell
                sys.stdout.flush()
        except UsageError as error:
            terminal.fail(*usage_problem(error))
            return BAD_INPUT
        except PenchantError as error:
            terminal.fail(error.problem, error.remedy)
            return BAD_INPUT
        except KeyboardInterrupt:
            terminal.fail("Interrupted.")
            code = INTERRUPTED
        except BrokenPipeError:  # whoever read the output has seen enough: | head
            _forget_output()
            return 1
        except MemoryError as error:
            terminal.fail(f"There is not enough memory. {error}".strip(), "Use a smaller model, or a larger machine.")
            return BAD_INPUT
        except OSError as error:  # a full disk behind stdout; files are the library's business, with errors of its own
            _forget_output()
            terminal.fail(f"The output cannot be written: {error.strerror or error}.")
            return BAD_INPUT
        return TERMINATED if terminated and code == INTERRUPTED else code


def _forget_output() -> None:
    """Python flushes stdout once more at its end, and would complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _invoke(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("penchant", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as ending:
        return ending.exit_code
    return 0


@contextmanager
def _terminable() -> Iterator[list[int]]:
    """Inside, SIGTERM is taken as Ctrl-C is: a fit keeps its best epoch, a half-written file is removed."""
    received: list[int] = []

    def interrupt(number: int, frame: object) -> NoReturn:
        del frame
        received.append(number)
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread, which alone receives signals
        yield received
        return
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


def _version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"penchant {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From a table of ratings to a trained, explained, evaluated and saved recommender.

    First steps:
      penchant demo                                    the main job on real ratings, from table to pictures
      penchant fit ratings.csv -o model                train a model on a table of your own
      penchant recommend model --user 42               ask it
      penchant COMMAND --help                          all that a command can do
    """
    del version


# --- fitting ----------------------------------------------------------------------------------------


@app.command(cls=SettingsCommand)
@with_groups(READING, SPLITTING, FITTING, settings=True)
def fit(
    ratings: Ratings,
    reading: Flags,
    splitting: Flags,
    fitting: Flags,
    settings: Flags,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", metavar="NAME", help="bias, dot, mf, mlp, or FILE.py:CLASS for a torch module of your own."
        ),
    ] = "mf",
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FOLDER", help="Where to save the model.")] = None,
    json: Json = False,
) -> None:
    """Train a model on a table of ratings, show its losses, and save it.

    Ctrl-C keeps the best epoch so far and saves it.

    Examples:
      penchant fit ml-latest-small -o model
      penchant fit ratings.csv --user customer --item sku --items products.csv -o model
      penchant fit u1.base --valid u1.test --model mlp --layers 100,50 --epochs 10
      penchant fit ratings.csv --model net.py:DotProduct --set n_factors=20
    """
    from penchant import job
    from penchant.models.fitting import FitOptions

    unfitted = job.build_any(model, parse_settings(settings, [job.kind_of(model)]))
    how = how_to_split(splitting, fitting)
    job.check_machine([unfitted], fitting["device"])
    if out is not None:
        job.check_destination(out)
    split = _read_split(ratings, reading, splitting["valid"], how | {"seed": fitting["seed"]}, json)
    with _listening(json) as listener:
        fitted = job.fit_model(unfitted, split, FitOptions(listener=listener, **fitting))
    saved = fitted.save(out) if out is not None else None
    _say_fitted(fitted, saved, json)
    if job.was_interrupted(fitted):
        raise typer.Exit(INTERRUPTED)


@app.command(cls=SettingsCommand)
@with_groups(READING, SPLITTING, FITTING, settings=True)
def compare(
    ratings: Ratings,
    reading: Flags,
    splitting: Flags,
    fitting: Flags,
    settings: Flags,
    models: Annotated[
        str, typer.Option(metavar="NAMES", help="Names, and FILE.py:CLASS, separated by commas.")
    ] = "bias,dot,mf,mlp",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FOLDER", help="Where to save the models, in a folder each."),
    ] = None,
    json: Json = False,
) -> None:
    """Train several models on one split, and print their losses side by side.

    A setting is given to those of the models that have it.

    Examples:
      penchant compare ml-latest-small
      penchant compare ratings.csv --models bias,mf,net.py:DotProduct --factors 20 -o models
    """
    from penchant import job
    from penchant.models.fitting import FitOptions

    names = list(dict.fromkeys(name.strip() for name in models.split(",") if name.strip()))
    values = parse_settings(settings, [job.kind_of(name) for name in names])
    unfitted = list(job.build_several(names, values))
    how = how_to_split(splitting, fitting, comparing=True)
    job.check_machine(unfitted, fitting["device"])
    if out is not None:
        job.check_destination(out / "model")
    split = _read_split(ratings, reading, splitting["valid"], how | {"seed": fitting["seed"]}, json)
    with _listening(json) as listener:
        fitted = job.compare_models(unfitted, split, FitOptions(listener=listener, **fitting))
    for one in fitted:
        saved = one.save(out / terminal.display_name(one)) if out is not None else None
        if json:
            _say_fitted(one, saved, json)
    if not json:
        terminal.say_comparison(fitted)
        _say_leak(split.may_leak)
        terminal.say(f"\nThe models are in {out}" if out else "\nNothing was saved; -o FOLDER saves all of them.")
    if len(fitted) < len(unfitted) or any(map(job.was_interrupted, fitted)):
        terminal.warn(f"Interrupted: {len(fitted)} of {terminal.counted(len(unfitted), 'model')} had learnt something.")
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _listening(json: bool) -> Iterator[Any]:
    """Who prints the epochs; its bar is taken away whatever happens."""
    from penchant.models.fitting import NothingLearnt

    listener = terminal.EpochLines() if json else terminal.EpochTable()
    try:
        yield listener
    except NothingLearnt:
        listener.close()
        terminal.fail("Interrupted before the first epoch ended: nothing was learnt, nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        listener.close()


def _read_split(source: str, reading: Flags, valid: str | None, how: Flags, json: bool) -> Any:
    """Read and split, telling what was read."""
    from penchant import job

    train = _read(source, json, reading)
    held_out = _read(valid, json, reading, told=train.notes) if valid is not None else None
    split = job.make_split(train, valid=held_out, **how)
    if not json:
        terminal.say(f"Split: {split}.")
    return split


def _read(source: str, json: bool, how: Mapping[str, Any], told: Sequence[str] = ()) -> Any:
    from penchant.data.read import read_ratings

    _fetch_if_named(source)
    with terminal.waiting(f"Reading {source}"):
        found = read_ratings(source, **how)
    if not json:
        n_ratings, n_items = terminal.counted(len(found), "rating"), terminal.counted(found.n_items, "item")
        by = f"{n_ratings} of {n_items} by {terminal.counted(found.n_users, 'user')}"
        terminal.say(f"Read {source}: {by}, from {found.scale[0]:g} to {found.scale[1]:g}.")
    for note in found.notes:
        if note not in told:
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
    terminal.say(f"Saved in {saved}" if saved else "Not saved; -o FOLDER saves the model.")


def _say_leak(may_leak: str) -> None:
    if may_leak:
        terminal.warn(may_leak)


@app.command(cls=PlainCommand)
@with_groups(READING)
def evaluate(
    model_dir: ModelDir,
    ratings: Ratings,
    reading: Flags,
    metrics: Annotated[
        str, typer.Option(metavar="NAMES", help="mse, rmse, mae, separated by commas.")
    ] = "mse,rmse,mae",
    seed: Seed = 0,
    module: Module = None,
    json: Json = False,
) -> None:
    """Measure a saved model on a table of ratings, with 95 % intervals over its users.

    Examples:
      penchant evaluate model u1.test
      penchant evaluate model newer.csv --metrics rmse --json
    """
    from penchant import job
    from penchant.evaluate import check_metrics

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    check_metrics(names)
    recommender = _load(model_dir, module)
    found = _read(ratings, json, reading)
    report = recommender.evaluate(found, names, seed).to_json()
    report["n_trained_on"] = job.count_trained_on(recommender, found)
    if report["n_unknown"] == report["n"]:
        terminal.warn("The model knows none of these pairs; are the ids the same? (--item title for titles.)")
    if report["n_trained_on"]:
        n = f"{report['n_trained_on']:,} of {terminal.counted(report['n'], 'rating')}"
        terminal.warn(f"The model was trained on {n}: on new ones its errors are larger.")
    if json:
        terminal.say_json({"event": "result", **report})
    else:
        terminal.say_metrics(report)


# --- answering --------------------------------------------------------------------------------------


@app.command(cls=PlainCommand)
def recommend(
    model_dir: ModelDir,
    user: Annotated[str | None, typer.Option(metavar="ID", help="A user's id.")] = None,
    users: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table with a column of users, for many at once.")
    ] = None,
    rated: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table of item and rating: somebody new, answered without retraining."),
    ] = None,
    k: K = 10,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="File for the lists: .parquet, .csv, .tsv or .jsonl."),
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out those of --users that the model does not know.")
    ] = False,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Also items that the user has rated.")] = False,
    module: Module = None,
    json: Json = False,
) -> None:
    """Recommend items to a user, to many users, or to somebody new.

    Examples:
      penchant recommend model --user 42 -k 5
      penchant recommend model --users users.csv --out lists.parquet
      penchant recommend model --rated mine.csv
    """
    from penchant.data.pairs import read_rated
    from penchant.data.write import check_writable, write_table

    if sum(given is not None for given in (user, users, rated)) != 1:
        raise SettingError("Nobody, or too many, to recommend to.", remedy="Give one of --user, --users and --rated.")
    if out is not None:
        check_writable(out)
    recommender = _load(model_dir, module)
    if users is not None:
        _recommend_many(recommender, users, k, out, include_seen, skip_unknown, json)
        return
    if rated is not None:
        who, title = rated.stem, f"For the ratings in {rated}"
        items = recommender.recommend(rated=read_rated(rated), k=k, include_seen=include_seen)
    else:
        who = _known_user(recommender, str(user))
        title, items = f"For user {who}", recommender.recommend(who, k, include_seen=include_seen)
    if out is not None:
        write_table(recommender.lists_frame([(who, items)]), out)
        terminal.say(f"{terminal.counted(len(items), 'item')} in {out}")
    elif json:
        terminal.say_json({"user": who, "items": [_plain(item) for item in items]})
    else:
        terminal.say_recommendations(title, items)


def _recommend_many(
    recommender: Any, users: Path, k: int, out: Path | None, include_seen: bool, skip_unknown: bool, json: bool
) -> None:
    from penchant import job
    from penchant.data.pairs import read_ids
    from penchant.data.write import write_tables

    ids, n_unknown = read_ids(users, recommender.users, skip_unknown=skip_unknown)
    if n_unknown:
        terminal.warn(f"{terminal.counted(n_unknown, 'line')} with a user that the model does not know: left out.")
    if out is not None:
        tables = job.recommend_tables(recommender, ids, k, include_seen=include_seen)
        write_tables(terminal.following(tables, len(ids), "Recommending"), out)
        terminal.say(f"{terminal.counted(len(ids), 'list')} of up to {terminal.counted(k, 'item')} in {out}")
        return
    for who, items in job.recommend_many(recommender, ids, k, include_seen=include_seen):
        if json:
            terminal.say_json({"user": who, "items": [_plain(item) for item in items]})
        else:
            terminal.say_recommendations(f"For user {who}", items)


@app.command(cls=PlainCommand)
def predict(
    model_dir: ModelDir,
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="Table with columns of users and items.")],
    user: UserColumn = None,
    item: ItemColumn = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="File: .csv, .tsv, .parquet or .jsonl.")
    ] = None,
    module: Module = None,
    json: Json = False,
) -> None:
    """Predict the ratings of pairs of a user and an item, as CSV where no file is given.

    The column 'known' says what the model knows of a pair: both, user, item or neither.

    Examples:
      penchant predict model pairs.csv
      penchant predict model pairs.csv --user customer --item sku -o predictions.parquet
    """
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
        terminal.say(f"{terminal.counted(frame.height, 'prediction')} in {out}")
    elif json:
        for row in frame.iter_rows(named=True):
            terminal.say_json(_plain(row))
    else:
        for start in range(0, frame.height, A_BLOCK):
            block = frame.slice(start, A_BLOCK)
            sys.stdout.write(block.write_csv(float_precision=4, include_header=start == 0))
    _say_unknown(frame)


def _say_unknown(frame: Any) -> None:
    unknown = int((frame["known"] != "both").sum())
    if unknown == frame.height and frame["known"].n_unique() == 1:
        part = {"neither": "users and none of these items", "user": "items", "item": "users"}[frame["known"][0]]
        terminal.warn(f"The model knows none of these {part}; are the ids the same?")
    elif unknown:
        pairs = f"{terminal.counted(unknown, 'pair')} {'has' if unknown == 1 else 'have'}"
        terminal.warn(f"{pairs} a user or an item that the model does not know; see the column 'known'.")


# --- looking ----------------------------------------------------------------------------------------


@app.command(cls=PlainCommand)
def explain(
    model_dir: ModelDir,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="With --item: why this user has this score for the item.")
    ] = None,
    item: Annotated[str | None, typer.Option(metavar="NAME", help="An item's name (in any case) or id.")] = None,
    k: K = 5,
    module: Module = None,
    json: Json = False,
) -> None:
    """Show the items liked best and least by bias, or why a user has a score for an item.

    The bias of an item is how much better it is rated than others, apart from who rated it.

    Examples:
      penchant explain model
      penchant explain model --user 42 --item "Toy Story (1995)"
    """
    if (user is None) != (item is None):
        raise SettingError("A score needs a user and an item.", remedy="Give both --user and --item, or neither.")
    recommender = _load(model_dir, module)
    if user is not None and item is not None:
        who, row = _known_user(recommender, user), _known_item(recommender, item)
        found, name = recommender.explain(who, recommender.items.ids[row]), recommender.item_names[row]
        if json:
            terminal.say_json({"user": who, "item": name, "parts": _plain(found.parts), "score": found.score})
        else:
            terminal.headline(f"Why {name} for user {who}")
            terminal.say_parts(found.parts, found.score)
        return
    best, worst = recommender.extremes(k)
    if json:
        terminal.say_json({"best": [_plain(one) for one in best], "worst": [_plain(one) for one in worst]})
        return
    terminal.say_items("Best by bias", best, "bias", "{:+.3f}")
    terminal.say_items("Worst by bias", worst, "bias", "{:+.3f}")


@app.command(cls=PlainCommand)
def similar(
    model_dir: ModelDir,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="An item's name (in any case) or id.")],
    k: K = 10,
    min_ratings: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole("--min-ratings", 0),
            show_default="20, or fewer in a small table",
            help="Leave out items with fewer ratings, whose factors are mostly chance.",
        ),
    ] = None,
    module: Module = None,
    json: Json = False,
) -> None:
    """Show the items most like one: those whose factors point the same way (cosine).

    Examples:
      penchant similar model "Silence of the Lambs, The (1991)"
      penchant similar model 593 -k 3
    """
    recommender = _load(model_dir, module)
    row = _known_item(recommender, item)
    name = recommender.item_names[row]
    found = recommender.similar(recommender.items.ids[row], k, min_ratings=min_ratings)
    if json:
        terminal.say_json({"item": name, "similar": [_plain(one) for one in found]})
    else:
        terminal.say_items(f"Most like {name}", found, "cosine", "{:.3f}")


@app.command(cls=PlainCommand)
def plot(
    model_dir: ModelDir,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            parser=choice("WHAT", "history", "map"),
            help="history (losses by epoch) or map (items by their factors).",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="File: .png, .svg or .pdf.")],
    items: Annotated[
        int, typer.Option(metavar="N", parser=whole("--items", 1), help="How many of the most rated items are shown.")
    ] = 40,
    module: Module = None,
) -> None:
    """Draw a picture of a saved model.

    Examples:
      penchant plot model history -o history.png
      penchant plot model map --items 60 -o map.svg
    """
    from penchant import plots

    recommender = _load(model_dir, module)
    if what == "history":
        if recommender.log is None:
            raise InputError(f"{model_dir} has no log of a fit.", remedy="Fit the model again.")
        figure = plots.history_figure([recommender.log])
    else:
        figure = plots.map_figure(
            recommender.model.item_factors(),
            recommender.item_names.to_list(),
            recommender.item_counts,
            shown=items,
            title=f"Items by the factors of {terminal.display_name(recommender)}",
        )
    plots.save_figure(figure, out)
    terminal.say(f"The picture is in {out}")


def _load(folder: Path, module: str | None) -> Any:
    if module is not None:
        from penchant.job import load_with

        return load_with(folder, module)
    from penchant.serving.recommender import Recommender

    return Recommender.load(folder)


def _known_user(recommender: Any, typed: str) -> Any:
    """A user's id in its type; blanks around it that belong to the shell are forgiven."""
    ids = recommender.users
    for text in (typed, typed.strip()):
        if len(ids.rows([text], missing="minus one")) and ids.rows([text], missing="minus one")[0] >= 0:
            return ids.parse(text)
    raise ids.unknown(typed)


def _known_item(recommender: Any, typed: str) -> int:
    """The row of an item by its name or id, blanks around it forgiven."""
    try:
        return int(recommender.find_item(typed))
    except UnknownIdError:
        if typed.strip() == typed:
            raise
        return int(recommender.find_item(typed.strip()))


def _plain(one: Any) -> Flags:
    """The fields of an answer for JSON, without the digits that a float32 does not have."""
    fields = one if isinstance(one, Mapping) else vars(one)
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in fields.items()}


# --- data sets --------------------------------------------------------------------------------------


@data_app.callback()
def _data() -> None:
    """Data sets by name: list, fetch, describe."""


@data_app.command("list", cls=PlainCommand)
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
        rows.append((name, f"{spec.scale[0]:g} to {spec.scale[1]:g}", "yes" if here else "no", spec.title))
    if not json:
        terminal.say_table(("name", "ratings", "here", "title"), rows)
        terminal.say(f"\nThey are kept in {data_folder()} (PENCHANT_DATA names another folder).")


@data_app.command("fetch", cls=PlainCommand)
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set's name; penchant data list shows them.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is here.")] = False,
) -> None:
    """Fetch a data set from its publisher, verify it, and unpack it.

    Examples:
      penchant data fetch ml-latest-small
    """
    from penchant.data.datasets import dataset_spec, fetch, find

    spec = dataset_spec(name)
    terminal.say(f"{spec.title}: {spec.licence}")
    here = None if force else find(name)
    folder = here or fetch(name, progress=terminal.DownloadBar(name), force=force)
    terminal.say(f"It {'was already' if here else 'is'} in {folder}")


@data_app.command("describe", cls=PlainCommand)
@with_groups(READING)
def data_describe(ratings: Ratings, reading: Flags, json: Json = False) -> None:
    """Describe a table of ratings: how many, how dense, how they are distributed, which items have most.

    Examples:
      penchant data describe ml-latest-small
      penchant data describe ratings.csv --user customer --item sku --rating stars
    """
    from penchant.data.describe import describe

    found = describe(_read(ratings, json, reading))
    if json:
        terminal.say_json(found)
    else:
        terminal.say_description(found)


@app.command(cls=PlainCommand)
def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where to write the model and the pictures.")
    ] = Path("penchant-demo"),
    seed: Seed = 0,
) -> None:
    """Do the main job on real ratings: read, split, train four models, compare, explain, recommend, save, draw."""
    from penchant.demo import run_demo

    _fetch_if_named("demo")
    if not run_demo(out, seed):
        raise typer.Exit(INTERRUPTED)


if __name__ == "__main__":
    main()
