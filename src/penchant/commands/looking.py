"""explain, similar, plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penchant import terminal
from penchant.commands.asking import check_apart, known_item, known_user, load, load_several, plain
from penchant.errors import InputError, SettingError, UnsupportedError
from penchant.options import Json, K, ModelDir, Module, choice, whole

if TYPE_CHECKING:
    from penchant.evaluate_lists import ListReport
    from penchant.plots_lists import OfWhat
    from penchant.serving.answers import Reasons

Drawn = tuple[Any, dict[str, Any]]  # a figure, and the numbers in it


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

    The bias of an item is how much better it is rated than others, apart from who rated it. A score is told by its
    causes, and by what each item of the user's history adds to it (not of popularity).

    Examples:
      penchant explain model
      penchant explain model --user 42 --item "Toy Story (1995)"
    """
    if (user is None) != (item is None):
        raise SettingError("A score needs a user and an item.", remedy="Give both --user and --item, or neither.")
    recommender = load(model_dir, module)
    if user is not None and item is not None:
        who, row = known_user(recommender, user), known_item(recommender, item)
        found, name = recommender.explain(who, recommender.items.ids[row]), recommender.item_names[row]
        reasons = recommender.reasons(who, recommender.items.ids[row])
        if json:
            terminal.say_json(
                {"user": who, "item": name, "parts": plain(found.parts), "score": found.score}
                | ({} if reasons is None else _history(reasons))
            )
        else:
            terminal.headline(f"Why {name} for user {who}")
            terminal.say_parts(found.parts, found.score)
            if reasons is not None:
                terminal.say_reasons(reasons, k, rated=not recommender.model.ranks_only)
        return
    best, worst = recommender.extremes(k)
    if json:
        terminal.say_json({"best": [plain(one) for one in best], "worst": [plain(one) for one in worst]})
        return
    terminal.say_items("Best by bias", best, "bias", "{:+.3f}")
    terminal.say_items("Worst by bias", worst, "bias", "{:+.3f}")


def _history(reasons: Reasons) -> dict[str, Any]:
    """For JSON: average_user + the values of the history + rest = score."""
    history = [plain(one) for one in reasons.items]
    return {"average_user": reasons.average, "history": history, "rest": reasons.rest}


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
    recommender = load(model_dir, module)
    row = known_item(recommender, item)
    name = recommender.item_names[row]
    found = recommender.similar(recommender.items.ids[row], k, min_ratings=min_ratings)
    if json:
        terminal.say_json({"item": name, "similar": [plain(one) for one in found]})
    else:
        terminal.say_items(f"Most like {name}", found, "cosine", "{:.3f}")


def plot(
    model_dir: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL_DIR", help="A folder that penchant fit wrote, or that of all models of penchant compare."
        ),
    ],
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            parser=choice("WHAT", "history", "map", "calibration", "lists", "coverage"),
            help="history (losses by epoch), map (items by their factors), calibration (what intervals cover), lists"
            " (what they are worth by their length) or coverage (accuracy against the part of the catalogue in lists).",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="File: .png, .svg or .pdf.")],
    items: Annotated[
        int, typer.Option(metavar="N", parser=whole("--items", 1), help="How many of the most rated items a map shows.")
    ] = 40,
    k: Annotated[
        int, typer.Option("-k", metavar="N", parser=whole("-k", 1), help="How long the lists of coverage are.")
    ] = 10,
    relevant_from: Annotated[
        float | None,
        typer.Option(metavar="RATING", help="The lowest rating that makes an item relevant.", show_default="any"),
    ] = None,
    module: Module = None,
    json: Json = False,
) -> None:
    """Draw a picture of a saved model, or of several in a folder (history, lists, coverage).

    Lists are measured on what was held out when the models were fitted; --json prints the numbers that are drawn.

    Examples:
      penchant plot model history -o history.png
      penchant plot model map --items 60 -o map.svg
      penchant plot model calibration -o calibration.png
      penchant plot models lists -o lists.png
      penchant plot models coverage -k 20 -o coverage.png
    """
    from penchant.plots import save_figure

    check_apart(out, model_dir)
    found = load_several(model_dir, module)
    if what == "history":
        figure, drawn = _draw_history(found)
    elif what == "lists":
        figure, drawn = _draw_lists(found, relevant_from)
    elif what == "coverage":
        figure, drawn = _draw_coverage(found, k, relevant_from)
    else:
        one = _only(model_dir, found, what)
        figure, drawn = _draw_calibration(model_dir, one) if what == "calibration" else _draw_map(one, items)
    save_figure(figure, out)
    if json:
        terminal.say_json({"what": what, "picture": str(out), **drawn})
    else:
        terminal.say(f"The picture is in {out}")


def _only(folder: Path, found: Mapping[str, Any], what: str) -> Any:
    if len(found) > 1:
        raise InputError(
            f"{folder} holds {len(found)} models, and a picture of {what} is of one.",
            remedy=f"Give one of: {', '.join(str(folder / name) for name in found)}.",
        )
    return next(iter(found.values()))


def _draw_history(found: Mapping[str, Any]) -> Drawn:
    from penchant.plots import history_figure

    for name, one in found.items():
        if one.log is None:
            raise InputError(f"{name} has no log of a fit.", remedy="Fit the model again.")
    return history_figure([one.log for one in found.values()]), {"logs": [one.log.to_json() for one in found.values()]}


def _draw_lists(found: Mapping[str, Any], relevant_from: float | None) -> Drawn:
    from penchant.plots_lists import OfWhat, lists_figure
    from penchant.serving.list_curves import by_length, measure_kept, unknown_to

    first = next(iter(found.values()))
    reports = measure_kept(found, by_length(len(first.items)), relevant_from=relevant_from)
    of_what = OfWhat(unknown_to(first), relevant_from)
    return lists_figure(reports, of_what), _numbers(reports, of_what)


def _draw_coverage(found: Mapping[str, Any], k: int, relevant_from: float | None) -> Drawn:
    from penchant.plots_lists import OfWhat, coverage_figure
    from penchant.serving.list_curves import against_coverage, measure_kept, unknown_to

    reports = measure_kept(found, against_coverage(k), relevant_from=relevant_from)
    of_what = OfWhat(unknown_to(next(iter(found.values()))), relevant_from)
    return coverage_figure(reports, of_what, k), _numbers(reports, of_what)


def _numbers(reports: Mapping[str, ListReport], of_what: OfWhat) -> dict[str, Any]:
    """What is drawn of lists: metrics and intervals by model."""
    models = {name: report.to_json() for name, report in reports.items()}
    return {"models": models, "n_unknown": of_what.n_unknown, "relevant_from": of_what.relevant_from}


def _draw_calibration(folder: Path, recommender: Any) -> Drawn:
    from penchant.calibration import kept_coverage
    from penchant.plots import calibration_figure

    if recommender.model.ranks_only:
        raise UnsupportedError(
            f"The {recommender.model.name} model predicts no ratings, so it has no intervals.",
            remedy="Fit a model of ratings, such as mf or bayes.",
        )
    coverage = kept_coverage(recommender.about)
    if coverage is None:
        raise InputError(
            f"What the intervals of {folder} cover was not measured.",
            remedy="Fit the model again with validation ratings of two users or more.",
        )
    return calibration_figure(coverage, terminal.display_name(recommender)), {"coverage": coverage.to_json()}


def _draw_map(recommender: Any, shown: int) -> Drawn:
    from penchant.explain import principal_components
    from penchant.plots import map_figure

    factors, names, counts = recommender.model.item_factors(), recommender.item_names.to_list(), recommender.item_counts
    title = f"Items by the factors of {terminal.display_name(recommender)}"
    figure = map_figure(factors, names, counts, shown=shown, title=title)
    places, shares = principal_components(factors)
    rows = (-counts).argsort(kind="stable")[:shown]
    items = [{"name": names[row], "place": places[row].tolist(), "n_ratings": int(counts[row])} for row in rows]
    return figure, {"items": items, "shares": shares.tolist()}
