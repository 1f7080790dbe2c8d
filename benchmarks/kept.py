"""Results of workers on disk, so that a run that was cut short can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kept:
    """One folder of results; anything that could change them is in the folder's name."""

    folder: Path

    def path(self, name: str) -> Path:
        """The file of one result."""
        return self.folder / f"{name}.json"

    def load(self, name: str) -> Any:
        """A result, or None."""
        path = self.path(name)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def save(self, name: str, result: Any) -> None:
        """Keep a result, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        written = self.path(name).with_suffix(".part")
        written.write_text(json.dumps(result), encoding="utf-8")
        written.replace(self.path(name))


def digest(words: Iterable[str], files: Iterable[Path]) -> str:
    """A short checksum of some words and of the content of some files."""
    made = hashlib.sha256("\n".join(words).encode())
    for path in files:
        made.update(path.read_bytes())
    return made.hexdigest()[:12]
