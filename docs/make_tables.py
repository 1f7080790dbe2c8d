"""Writes the tables of settings in the docs from the settings classes: python docs/make_tables.py."""

from __future__ import annotations

import re
from pathlib import Path

from penchant.models import model_class
from penchant.models.settings import type_in_words

PAGE = Path(__file__).with_name("models.md")
SERVING = Path(__file__).with_name("serving.md")
TABLE = re.compile(r"(<!-- settings of ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SERVICE = "the service"
OF_SERVICE = re.compile(rf"(<!-- settings of {SERVICE} -->\n).*?(<!-- end -->)", re.DOTALL)


def table(model: str) -> str:
    """One Markdown table."""
    lines = ["| setting | default | type | what it does |", "|---|---|---|---|"]
    for field in model_class(model).settings_class.describe():
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        lines.append(f"| {field.name} | {default} | {type_in_words(field.kind)} | {field.help} |")
    return "\n".join(lines) + "\n"


def service_table() -> str:
    """The settings of `penchant serve`."""
    from penchant.serving.service_settings import describe

    lines = ["| flag | variable | default | what it does |", "|---|---|---|---|"]
    for one in describe():
        default = "" if one.default is None else one.default
        lines.append(f"| `{one.flag}` | `{one.variable}` | {default} | {one.help} |")
    return "\n".join(lines) + "\n"


def with_tables(page: str) -> str:
    """The page with every table made anew."""
    return TABLE.sub(lambda match: match[1] + table(match[2]) + match[3], page)


def with_service_table(page: str) -> str:
    """The page of the service with its table made anew."""
    return OF_SERVICE.sub(lambda match: match[1] + service_table() + match[2], page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    SERVING.write_text(with_service_table(SERVING.read_text(encoding="utf-8")), encoding="utf-8")
