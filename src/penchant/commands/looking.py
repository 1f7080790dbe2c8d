"""explain, similar, plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penchant import terminal
from penchant.commands.asking import known_item, known_user, load, plain
from penchant.errors import InputError, SettingError, UnsupportedError
from penchant.options import Json, K, ModelDir, Module, choice, whole


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

    The bias of an item is how much better it is rated than others, apart from who rated it. Of item-knn, ease and als,
    a score is told by what each item of the user's history adds to it.

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
                | ({"history": [plain(one) for one in reasons]} if reasons else {})
            )
        else:
            terminal.headline(f"Why {name} for user {who}")
            terminal.say_parts(found.parts, found.score)
            terminal.say_reasons(reasons, k)
        return
    best, worst = recommender.extremes(k)
    if json:
        terminal.say_json({"best": [plain(one) for one in best], "worst": [plain(one) for one in worst]})
        return
    terminal.say_items("Best by bias", best, "bias", "{:+.3f}")
    terminal.say_items("Worst by bias", worst, "bias", "{:+.3f}")


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
    model_dir: ModelDir,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            parser=choice("WHAT", "history", "map", "calibration"),
            help="history (losses by epoch), map (items by their factors) or calibration (what intervals cover).",
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
      penchant plot model calibration -o calibration.png
    """
    from penchant import plots

    recommender = load(model_dir, module)
    if what == "history":
        if recommender.log is None:
            raise InputError(f"{model_dir} has no log of a fit.", remedy="Fit the model again.")
        figure = plots.history_figure([recommender.log])
    elif what == "calibration":
        from penchant.calibration import kept_coverage

        if recommender.model.ranks_only:
            raise UnsupportedError(
                f"A {recommender.model.name} model predicts no ratings, so it has no intervals.",
                remedy="Fit a model of ratings, such as mf or bayes.",
            )
        coverage = kept_coverage(recommender.about)
        if coverage is None:
            raise InputError(
                f"What the intervals of {model_dir} cover was not measured.",
                remedy="Fit the model again with validation ratings of two users or more.",
            )
        figure = plots.calibration_figure(coverage, terminal.display_name(recommender))
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
