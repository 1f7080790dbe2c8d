"""What this process may use of the machine: cores and memory; and sizes of memory as people write them.

A container is confined by control groups (cgroups), of which Python's own counts know nothing: a process that may use
two cores of 64 would start 64 threads. Their files are read here, of version 1 and 2; `root` is for tests.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from penchant.errors import NotEnoughMemoryError, SettingError

ROOT = Path("/")
UNITS = {
    **{"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
}


# --- cores ------------------------------------------------------------------------------------------


def available_cores(root: Path = ROOT) -> int:
    """Cores that this process may use: not more than it is confined to, nor than its time is worth (rounded up)."""
    is_told = hasattr(os, "sched_getaffinity")  # not on macOS and Windows
    cores = len(os.sched_getaffinity(0)) if is_told else os.cpu_count() or 1
    quotas = [quota for folder in _groups("cpu", root) if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def count_threads(wanted: int | None) -> int:
    """How many threads to use: as many as are wanted, or one for every core.

    Raises:
        SettingError: less than one is wanted.
    """
    if wanted is not None and wanted < 1:
        raise SettingError(f"threads is {wanted}.", remedy="Give 1 thread or more.")
    return wanted or available_cores()


def _quota(folder: Path) -> float | None:
    """How many cores' time a control group has, None for no limit."""
    words = _read(folder / "cpu.max").split() or [
        *_read(folder / "cpu.cfs_quota_us").split(),
        *_read(folder / "cpu.cfs_period_us").split(),
    ]
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[1]) == 0:  # "max" or -1: no limit
        return None
    return int(words[0]) / int(words[1])


# --- memory -----------------------------------------------------------------------------------------


def available_memory(root: Path = ROOT) -> int | None:
    """Bytes that this process may still take before it or another is killed; None where nobody says.

    The smaller of what the machine can give without swapping and what is left to the process's control groups. On
    macOS it is all memory of the machine: how much of that is free, only a tool outside Python knows.
    """
    left = [room for folder in _groups("memory", root) if (room := _left(folder)) is not None]
    machine = _kilobytes(root / "proc/meminfo", "MemAvailable")
    if machine is None:
        machine = _physical_memory()
    found = [*left, machine] if machine is not None else left
    return max(0, min(found)) if found else None


def held_memory(root: Path = ROOT) -> int:
    """Bytes that this process holds now; 0 where nobody says."""
    return _kilobytes(root / "proc/self/status", "VmRSS") or 0


def check_memory(doing: str, parts: Mapping[str, int], limit: int | None, remedy: str, root: Path = ROOT) -> None:
    """Refuse what would take too much memory before it starts, rather than be killed late in it.

    Args:
        doing: what is about to be done, "Fitting mf".
        parts: an estimate in bytes, by what they are for; "the ratings in tiles".
        limit: the most that this process may hold; None for what the machine has.
        remedy: what to do about it.

    Raises:
        NotEnoughMemoryError: the estimate and what the process holds already is more than the limit.
    """
    held = held_memory(root)
    left = limit - held if limit is not None else available_memory(root)
    wanted = sum(parts.values())
    if left is None or wanted <= left:
        return
    largest = sorted([*parts.items(), ("what the process holds already", held)], key=lambda part: -part[1])[:4]
    named = ", ".join(f"{format_memory(size)} for {what}" for what, size in largest if size)
    if limit is None:
        allowed, own = (
            f"Only {format_memory(left)} more are free.",
            "Or go on all the same, with a --memory of your own.",
        )
    else:
        allowed, own = f"The limit (--memory) is {format_memory(limit)}.", "Or raise the limit."
    problem = f"{doing} would take about {format_memory(held + wanted)} of memory: {named}. {allowed}"
    raise NotEnoughMemoryError(problem, remedy=f"{remedy} {own}")


def _left(folder: Path) -> int | None:
    """What a control group may still take, None for no limit. Copies of files count as free: they are given up."""
    limit, used, of_files = (
        ("memory.max", "memory.current", "inactive_file")
        if (folder / "memory.max").exists()
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    most, now = _read(folder / limit).strip(), _read(folder / used).strip()
    if not most.isdecimal() or not now.isdecimal():  # "max": no limit
        return None
    copies = re.search(rf"^{of_files} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
    return int(most) - int(now) + (int(copies[1]) if copies else 0)


def _kilobytes(file: Path, field: str) -> int | None:
    """A field of a file of /proc in bytes: "MemAvailable:  23695344 kB"."""
    found = re.search(rf"^{field}:\s*(\d+) kB$", _read(file), re.MULTILINE)
    return 1024 * int(found[1]) if found else None


def _physical_memory() -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


# --- control groups ---------------------------------------------------------------------------------


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of the groups that this process is in, outward: each may have a limit, and the smallest holds.

    Within a container the path may be the one outside, which is not there; the outermost folder is the container's own.
    """
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:  # version 2: one tree for all controllers
            tops = [mounts, mounts / "unified"]
        elif controller in controllers.split(","):
            tops = [mounts / controllers, mounts / controller]
        else:
            continue
        for top in tops:
            inner = top / path.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def _read(file: Path) -> str:
    """The text of a small file, "" where it is not there or not ours to read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


# --- sizes as people write them ---------------------------------------------------------------------


def parse_memory(size: int | str) -> int:
    """Bytes from "2GB", "512 MiB", "1.5 GB" or a number of bytes; GB is 10**9, GiB is 2**30.

    Raises:
        SettingError: it is not a size, or not above 0.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", str(size), re.ASCII)
    unit = UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None or isinstance(size, bool) or len(found[1]) > 30:
        raise SettingError(f"memory is {size!r}.", remedy="Give a size such as 2GB, 512MiB or a number of bytes.")
    n_bytes = int(found[1]) * unit if found[1].isdecimal() else int(float(found[1]) * unit)
    if n_bytes < 1:
        raise SettingError(f"memory is {size!r}.", remedy="Give 1 byte or more, such as 2GB.")
    return n_bytes


def format_memory(n_bytes: int) -> str:
    """Bytes as people read them, in two or three digits: 12 kB, 345 MB, 1.2 GB."""
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if value < 9.95 and unit != "B" else f"{value:.0f} {unit}"
