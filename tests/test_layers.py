"""The one-way rule: a module imports only from modules that stand before it in this list.

The list is also the order in which to read the code for the first time. A new file has to be given its place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "penchant"

READING_ORDER = [
    "errors",
    "machine",
    "signals",
    "threads",
    "seeds",
    "kernels",
    "kernels.row_sums",
    "kernels.gibbs",
    "kernels.noise",
    "kernels.ordinal",
    "kernels.network",
    "kernels.sets",
    "kernels.sgd",
    "kernels.tiles",
    "kernels.topk",
    "kernels.places",
    "kernels.als",
    "kernels.bpr",
    "kernels.itemitem",
    "ranking",
    "reranking",
    "data",
    "data.vocabulary",
    "data.interactions",
    "data.context",
    "data.layouts",
    "data.downloads",
    "data.text",
    "data.json_lines",
    "data.numbers",
    "data.tables",
    "data.columns",
    "data.values",
    "data.times",
    "data.items",
    "data.jester",
    "data.datasets",
    "data.duplicates",
    "data.feedback",
    "data.read",
    "data.sizes",
    "data.pairs",
    "data.candidates",
    "data.write",
    "data.describe",
    "data.synthetic",
    "data.split",
    "data.features",
    "metrics",
    "list_metrics",
    "rank_metrics",
    "models.schedule",
    "models.momenta",
    "models.settings",
    "models.ranges",
    "models.biases",
    "models.folding",
    "models.fitting",
    "models.memory",
    "models.sgd_training",
    "models.dense",
    "models.adam",
    "models.machine_training",
    "models.mlp_training",
    "models.machine",
    "models.base",
    "models.baseline",
    "models.least_squares",
    "models.preferences",
    "models.products",
    "models.popularity",
    "models.itemitem",
    "models.als",
    "models.bpr",
    "models.blocks",
    "models.designing",
    "models.gibbs_sampling",
    "models.ordinal",
    "models.averaging",
    "models.posterior",
    "models.bayes_training",
    "models.bayes",
    "models.factorisation",
    "models.factors",
    "models.explicit_als",
    "models.torch_training",
    "models.attention",
    "models.sequence_training",
    "models.sequence",
    "models.network_epochs",
    "models.mlp",
    "models.networks",
    "models",
    "newcomers",
    "intervals",
    "evaluate",
    "evaluate_lists",
    "evaluate_candidates",
    "significance",
    "folds",
    "calibration",
    "explain",
    "labels",
    "plots",
    "plots_lists",
    "folders",
    "artifact",
    "serving",
    "serving.answers",
    "serving.history",
    "serving.filters",
    "serving.lists",
    "serving.naming",
    "serving.saving",
    "serving.stripping",
    "serving.recommender",
    "serving.list_curves",
    "serving.measuring",
    "serving.grouping",
    "serving.events",
    "serving.commit_groups",
    "serving.patience",
    "serving.databases",
    "serving.event_rows",
    "serving.store_files",
    "serving.store",
    "serving.logs",
    "serving.keys",
    "serving.merging",
    "serving.reading",
    "serving.pid_file",
    "serving.telling",
    "serving.service_settings",
    "serving.overlay",
    "serving.questions",
    "serving.search",
    "serving.catalogue",
    "serving.approximate",
    "serving.live",
    "serving.batching",
    "serving.answering",
    "serving.predicting",
    "serving.model_card",
    "serving.schemas",
    "serving.refusals",
    "serving.limits",
    "serving.observed",
    "serving.origins",
    "serving.gate",
    "serving.routes",
    "serving.direct",
    "serving.app",
    "serving.running",
    "own_modules",
    "job",
    "comparing",
    "challenging",
    "retraining",
    "search_space",
    "trials",
    "search_storage",
    "tuning",
    "plots_trials",
    "terminal",
    "progress",
    "options",
    "pages",
    "demo",
    "commands",
    "commands.asking",
    "commands.fitting",
    "commands.evaluating",
    "commands.tuning",
    "commands.answering",
    "commands.looking",
    "commands.datasets",
    "commands.artifacts",
    "commands.keys",
    "commands.feedback",
    "commands.retraining",
    "commands.serving",
    "cli",
    "__main__",
]

# Outside libraries and the modules that may import them; a folder's name stands for all in it.
HOMES = {
    "numba": ("kernels",),
    "polars": ("data", "artifact", "serving"),
    "narwhals": ("data.tables",),
    "pooch": ("data.downloads",),
    "torch": ("models.torch_training", "models.sequence_training"),
    "matplotlib": ("plots", "plots_lists", "plots_trials"),
    "optuna": ("search_storage", "tuning"),
    "safetensors": ("artifact",),
    "rich": ("terminal", "progress"),
    "typer": ("options", "pages", "commands", "cli"),
    "threadpoolctl": ("threads",),
    "pydantic": ("serving",),
    "pydantic_settings": ("serving.service_settings",),
    "fastapi": ("serving.routes", "serving.app"),
    "starlette": ("serving.gate", "serving.direct", "serving.app"),
    "sqlalchemy": ("serving.databases",),
    "uvicorn": ("serving.running",),
    "usearch": ("serving.approximate",),
    "prometheus_client": ("serving.observed",),
}


def module_name(path: Path) -> str:
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"}


def imports(path: Path) -> Iterator[str]:
    """Dotted names imported anywhere in a file, also inside functions; not those for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_modules(path: Path) -> set[str]:
    """The modules of penchant that a file imports."""
    names = {name.removeprefix("penchant.") for name in imports(path) if name.startswith("penchant.")}
    return {name for name in names if name in MODULES}


def test_the_list_has_every_module_and_no_other() -> None:
    assert sorted(READING_ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", READING_ORDER)
def test_a_module_imports_only_what_stands_before_it(module: str) -> None:
    place = READING_ORDER.index(module)
    later = {other for other in own_modules(MODULES[module]) if READING_ORDER.index(other) >= place}
    assert not later


@pytest.mark.parametrize("module", [module for module in READING_ORDER if module.startswith("kernels.")])
def test_kernels_know_nothing_of_penchant_but_kernels(module: str) -> None:
    found = [name for name in imports(MODULES[module]) if name.startswith("penchant")]
    assert all(name.startswith("penchant.kernels.") for name in found)


def test_concrete_models_do_not_import_each_other() -> None:
    concrete = {"models.baseline", "models.factors", "models.mlp", "models.networks"}
    for module in concrete:
        assert not own_modules(MODULES[module]) & (concrete - {module})


def test_serving_sees_no_concrete_model() -> None:
    for module in [name for name in MODULES if name.startswith("serving")]:
        assert not own_modules(MODULES[module]) & {"models.baseline", "models.factors", "models.mlp", "models.networks"}


@pytest.mark.parametrize("library", HOMES)
def test_an_outside_library_is_imported_only_at_home(library: str) -> None:
    users = {
        module
        for module, path in MODULES.items()
        if any(name == library or name.startswith(library + ".") for name in imports(path))
    }
    strangers = {
        user for user in users if not any(user == home or user.startswith(home + ".") for home in HOMES[library])
    }
    assert not strangers
    assert users, f"nothing imports {library} any more"


def test_no_file_is_a_second_house() -> None:
    long = {
        str(path): n for path in MODULES.values() if (n := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long
