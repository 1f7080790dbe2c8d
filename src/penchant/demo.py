"""penchant demo: the main job from a table to recommendations, on real ratings."""

from __future__ import annotations

from pathlib import Path

from penchant import comparing, job, plots, progress, terminal
from penchant.data.read import read_ratings
from penchant.models.fitting import FitOptions
from penchant.serving.recommender import Recommender

SHOWN_MODEL = "mf"
USER = 547
FILM = "Star Wars: Episode IV"


def run_demo(out: Path, seed: int) -> bool:
    """Run the main job and tell every step; the model and two pictures are written to `out`.

    Returns:
        False when Ctrl-C ended it; then nothing is written.
    """
    saved = out / SHOWN_MODEL
    job.check_destination(saved)
    ratings = read_ratings("demo", item_name="title")
    terminal.say(
        f"Read MovieLens ({ratings.source}): {len(ratings):,} ratings of {ratings.n_items:,} films"
        f" by {ratings.n_users:,} users."
    )
    split = job.make_split(ratings, seed=seed)
    terminal.say(f"Split: {split}.")
    listener = progress.EpochTable()
    models = list(comparing.build_several(comparing.COMPARED, {}))
    try:
        fitted = comparing.compare_models(models, split, FitOptions(seed=seed, listener=listener))
    finally:
        listener.close()
    terminal.say_comparison(fitted, "mse")
    if len(fitted) < len(models) or any(map(job.was_interrupted, fitted)):
        terminal.warn("Interrupted: nothing was written.")
        return False
    shown = next(one for one in fitted if one.model.name == SHOWN_MODEL)
    show(shown)
    write(shown, fitted, saved, out)
    return True


def show(model: Recommender) -> None:
    """Best, worst, similar, recommended."""
    best, worst = model.extremes(5)
    terminal.say_items("The five films liked best (bias, apart from who rated them)", best, "bias", "{:+.3f}")
    terminal.say_items("The five liked least", worst, "bias", "{:+.3f}")
    film = next((name for name in model.item_names.to_list() if FILM in name), model.item_names[0])
    terminal.say_items(f"Most like {film}", model.similar(film, 5), "cosine", "{:.3f}")
    terminal.say_recommendations(f"Ten recommendations for user {USER}", model.recommend(USER, 10))


def write(model: Recommender, fitted: list[Recommender], saved: Path, out: Path) -> None:
    """The artifact and the two pictures."""
    model.save(saved)
    curves, items = out / "training-curves.png", out / "film-map.png"
    plots.save_figure(plots.history_figure([one.log for one in fitted if one.log]), curves)
    counts, names = model.item_counts, model.item_names.to_list()
    figure = plots.map_figure(model.model.item_factors(), names, counts, title="Films by their factors")
    plots.save_figure(figure, items)
    terminal.headline("Written")
    terminal.say(f"  the model        {saved}\n  training curves  {curves}\n  film map         {items}")
    terminal.say(f"\nTry: penchant recommend {saved} --user 42")
