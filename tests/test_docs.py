"""The docs are true: examples run, links lead somewhere, tables are those of the code."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from penchant.models import MODELS, model_class

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
WITH_EXAMPLES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SHOP = {
    "shop.csv": "customer,sku,stars,when\n"
    + "\n".join(f"c{c:03},{s:04},{1 + (c * s) % 5},2026-0{1 + s % 9}-11" for c in range(12) for s in range(c % 3, 15)),
    "products.csv": "sku,label,price\n" + "\n".join(f"{s:04},Product {s},{s}.50" for s in range(15)),
    "taste.csv": "item,rating\n0003,5\nproduct 7,2\n",
    "pairs.csv": "user,item\nc003,0004\nnobody,0004\n",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def blocks(page: Path, language: str) -> str:
    return "\n".join(code for name, code in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language)


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_python_examples_run(page: Path, published: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    program = tmp_path / "example.py"
    program.write_text(blocks(page, "python"), encoding="utf-8")
    environment = {**os.environ, "PENCHANT_DATA": str(published)}
    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_command_line_examples_run(page: Path, published: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    for name, content in SHOP.items():
        (tmp_path / name).write_text(content + "\n", encoding="utf-8")
    environment = {**os.environ, "PENCHANT_DATA": str(published)}
    commands = [line.removeprefix("$ ") for line in blocks(page, "console").splitlines() if line.startswith("$ ")]
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "penchant", command
        run = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{command}\n{run.stderr}"


def test_settings_are_documented_as_they_are() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_tables
    finally:
        sys.path.pop(0)
    page = make_tables.PAGE.read_text(encoding="utf-8")
    assert page == make_tables.with_tables(page), "run: python docs/make_tables.py"
    assert set(re.findall(r"<!-- settings of ([\w-]+) -->", page)) == {*MODELS, "own"}
    assert all(model_class(model).settings_class.describe() for model in MODELS)


def test_the_settings_of_the_service_are_documented_as_they_are() -> None:
    pytest.importorskip("fastapi")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_tables
    finally:
        sys.path.pop(0)
    page = make_tables.SERVING.read_text(encoding="utf-8")
    assert page == make_tables.with_service_table(page), "run: python docs/make_tables.py"
    assert "`--max-body`" in page


def test_every_module_is_in_the_architecture_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in (ROOT / "src" / "penchant").rglob("*.py"):
        if path.name != "__main__.py" and not (path.name == "__init__.py" and path.parent.name != "models"):
            assert re.search(rf"^\s*{re.escape(path.name)}\b", page, re.MULTILINE), path.name


def test_every_command_and_data_set_is_in_the_docs() -> None:
    from penchant.cli import app, data_app
    from penchant.data.datasets import DATASETS

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for command in app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f"penchant {name}" in text, name
    for command in data_app.registered_commands:
        assert f"penchant data {command.name}" in text, command.name
    assert len(DATASETS) >= 10


def test_a_decision_is_short() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert pages
    for number, page in enumerate(pages, start=1):
        assert page.name.startswith(f"{number:04}-")
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 15, page.name
