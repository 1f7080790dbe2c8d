"""Torch modules of the user's own: found in a file, and named when they fail.

Their code may raise anything; what reaches the user is an error with the line of the user's file.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penchant.errors import InputError, MissingExtraError, PenchantError
from penchant.models.networks import Own


def load_class(reference: str) -> Any:
    """The class that "path/file.py:ClassName" names; the file is run, as Python's import would.

    Raises:
        InputError: there is no such file or class, or the file fails.
    """
    path, colon, name = reference.rpartition(":") if ".py:" in reference else (reference, "", "")
    file = Path(path)
    if file.suffix != ".py" or not file.is_file():
        raise InputError(f"There is no Python file {path}.", remedy="Give path/file.py:ClassName.")
    found = vars(_run(file))
    if colon and isinstance(found.get(name), type):
        return found[name]
    classes = [key for key, value in found.items() if isinstance(value, type) and key[:1] != "_"]
    listed = ", ".join(f"{path}:{key}" for key in classes) or "none"
    problem = f"{path} has no class {name}." if name else f"Which class of {path}?"
    raise InputError(problem, remedy=f"Its classes: {listed}.")


def _run(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"penchant_own_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        if isinstance(error, ImportError) and error.name == "torch":
            raise MissingExtraError(f"{file}", extra="torch") from error
        raise InputError(
            f"{file} fails when it is run{_where(error, str(file))}: {_said(error)}", remedy="Mend it."
        ) from error
    return module


def _where(error: BaseException, file: str | None) -> str:
    """Words such as "(line 7 of net.py)" for the innermost line of a file that had a part in an exception."""
    if file is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == Path(file).resolve()]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f" (line {line} of {Path(file).name})" if line else ""


def _said(error: BaseException) -> str:
    """An exception in one line."""
    said = error.msg if isinstance(error, SyntaxError) else error
    return f"{type(error).__name__}: {said}".splitlines()[0]


@contextmanager
def blaming(model: Own, remedy: str) -> Iterator[None]:
    """Exceptions of the user's own code as InputError."""
    try:
        yield
    except PenchantError:
        raise
    except Exception as error:
        name = model.extra()["class"]
        raise InputError(f"{name} failed{_where(error, _file_of(model))}: {_said(error)}", remedy=remedy) from error


def _file_of(model: Own) -> str | None:
    """The file that the class of a torch module is in."""
    source = model.module_source
    home = sys.modules.get(source.__module__ if isinstance(source, type) else type(source).__module__)
    return getattr(home, "__file__", None)
