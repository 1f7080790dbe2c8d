"""What a benchmark's numbers depend on: the machine, the versions, the date. Names no person, host or path."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def describe(packages: Iterable[str]) -> dict[str, Any]:
    """Machine, versions of installed packages and date, for a JSON file."""
    return {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "versions": versions(packages)}


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory, system, and how busy the machine was a minute ago."""
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": load(),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Python's version and those of the packages that are installed here."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gib() -> float | None:
    """Memory of the machine, None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def load() -> float | None:
    """How many processes wanted to run over the last minute; None where the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def in_words(described: dict[str, Any]) -> str:
    """The machine in a line."""
    one = described["machine"]
    memory = f", {one['memory_gib']:g} GiB" if one["memory_gib"] else ""
    busy = f", load {one['load']:g} at the start" if one["load"] is not None else ""
    return f"{one['processor']}, {one['cores']} cores{memory}, {one['system']}{busy}"


def versions_in_words(found: dict[str, str]) -> str:
    """Versions in a line."""
    return ", ".join(f"{name} {number}" for name, number in found.items())


def lines(described: dict[str, Any], machine_note: str = "") -> list[str]:
    """Date, machine and penchant's versions, as the first points of a report."""
    return [
        f"- Date: {described['date']}",
        f"- Machine: {in_words(described)}{machine_note}",
        f"- penchant's side: {versions_in_words(described['versions'])}",
    ]
