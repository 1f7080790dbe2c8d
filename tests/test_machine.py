"""Cores and memory from made-up trees of /proc and /sys, and sizes as people write them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant import machine
from penchant.errors import NotEnoughMemoryError, SettingError
from penchant.machine import available_cores, available_memory, check_memory, format_memory, held_memory, parse_memory

GIB = 2**30
MEMINFO = "MemTotal:       24683656 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


# --- cores ------------------------------------------------------------------------------------------

V2 = {"proc/self/cgroup": "0::/user.slice/job\n"}
V1 = {"proc/self/cgroup": "7:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n"}
CPU = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({**V2, f"{CPU}/user.slice/job/cpu.max": "max 100000\n"}, 8),
        ({**V2, f"{CPU}/user.slice/job/cpu.max": "200000 100000\n"}, 2),
        ({**V2, f"{CPU}/user.slice/job/cpu.max": "150000 100000\n"}, 2),
        ({**V2, f"{CPU}/user.slice/job/cpu.max": "10000 100000\n"}, 1),
        ({**V2, f"{CPU}/user.slice/job/cpu.max": "9900000 100000\n"}, 8),
        ({**V2, f"{CPU}/user.slice/job/cpu.max": "max 100000\n", f"{CPU}/user.slice/cpu.max": "300000 100000\n"}, 3),
        ({**V2, f"{CPU}/cpu.max": "400000 100000\n"}, 4),  # in a container, where the path outside is not there
        ({**V2, f"{CPU}/unified/user.slice/job/cpu.max": "500000 100000\n"}, 5),
        ({"proc/self/cgroup": "0::/../..\n", f"{CPU}/cpu.max": "300000 100000\n"}, 3),
        ({**V2, f"{CPU}/user.slice/job/cpu.max": "nonsense\n"}, 8),
        ({**V2, f"{CPU}/user.slice/job/cpu.max": "100000 0\n"}, 8),
        ({**V1, f"{CPU}/cpu/job/cpu.cfs_quota_us": "-1\n", f"{CPU}/cpu/job/cpu.cfs_period_us": "100000\n"}, 8),
        ({**V1, f"{CPU}/cpu/job/cpu.cfs_quota_us": "250000\n", f"{CPU}/cpu/job/cpu.cfs_period_us": "100000\n"}, 3),
        (
            {**V1, f"{CPU}/cpu,cpuacct/cpu.cfs_quota_us": "50000\n", f"{CPU}/cpu,cpuacct/cpu.cfs_period_us": "100000"},
            1,
        ),
    ],
)
@pytest.mark.usefixtures("_eight_cores")
def test_cores_are_those_that_the_time_allowed_is_worth(files: dict[str, str], cores: int, tmp_path: Path) -> None:
    assert available_cores(tree(tmp_path, files)) == cores


def test_cores_of_a_system_without_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for count, cores in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert available_cores(tmp_path) == cores


def test_cores_of_this_machine() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_threads_are_as_many_as_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_cores", lambda: 5)
    assert [machine.count_threads(wanted) for wanted in (None, 1, 16)] == [5, 1, 16]
    with pytest.raises(SettingError, match="threads is 0"):
        machine.count_threads(0)


# --- memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({}, 8 * GIB),
        ({**V2, f"{CPU}/user.slice/job/memory.max": "max\n", f"{CPU}/user.slice/job/memory.current": "1\n"}, 8 * GIB),
        ({**V2, f"{CPU}/memory.max": str(3 * GIB), f"{CPU}/memory.current": str(GIB)}, 2 * GIB),
        (
            {
                **V2,
                f"{CPU}/user.slice/memory.max": str(3 * GIB),
                f"{CPU}/user.slice/memory.current": str(2 * GIB),
                f"{CPU}/user.slice/memory.stat": f"anon {GIB}\nfile {GIB}\ninactive_file {GIB // 2}\n",
            },
            GIB + GIB // 2,
        ),
        ({**V2, f"{CPU}/memory.max": str(GIB), f"{CPU}/memory.current": str(2 * GIB)}, 0),
        (
            {
                **V1,
                f"{CPU}/memory/job/memory.limit_in_bytes": "9223372036854771712\n",
                f"{CPU}/memory/job/memory.usage_in_bytes": "1000\n",
                f"{CPU}/memory/memory.limit_in_bytes": str(GIB),
                f"{CPU}/memory/memory.usage_in_bytes": str(GIB // 2),
                f"{CPU}/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB // 4}\n",
            },
            GIB // 2 + GIB // 4,
        ),
    ],
)
def test_memory_is_the_least_that_any_group_leaves(files: dict[str, str], memory: int, tmp_path: Path) -> None:
    assert available_memory(tree(tmp_path, {"proc/meminfo": MEMINFO, **files})) == memory


@pytest.mark.parametrize("physical", [None, 16 * GIB])
def test_memory_of_a_system_without_proc(physical: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_physical_memory", lambda: physical)
    assert available_memory(tmp_path) == physical
    assert held_memory(tmp_path) == 0


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
def test_memory_of_this_machine() -> None:
    assert held_memory() > 10_000_000
    assert (available_memory() or 0) > 10_000_000


def test_too_much_is_refused_with_its_largest_parts(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/status": "VmRSS:\t  100000 kB\n"})
    parts = {"factors": 3 * 10**9, "ratings": 5 * 10**8, "crumbs": 3, "small": 20, "nothing": 0}
    check_memory("Fitting mf", parts, None, "", root)
    check_memory("Fitting mf", parts, 4 * 10**9, "", root)
    with pytest.raises(NotEnoughMemoryError) as caught:
        check_memory("Fitting mf", parts, 3 * 10**9, "Use fewer.", root)
    assert caught.value.problem == (
        "Fitting mf would take about 3.6 GB of memory: 3.0 GB for factors, 500 MB for ratings,"
        " 102 MB for what the process holds already, 20 B for small. The limit (--memory) is 3.0 GB."
    )
    assert caught.value.remedy == "Use fewer. Or raise the limit."
    with pytest.raises(NotEnoughMemoryError, match=r"Only 8\.6 GB more are free") as caught:
        check_memory("Fitting mf", {"factors": 9 * 10**9}, None, "Use fewer.", root)
    assert "--memory" in caught.value.remedy


def test_what_is_not_known_is_not_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_physical_memory", lambda: None)
    check_memory("Fitting mf", {"factors": 10**18}, None, "", tmp_path)


# --- sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [
        ("2GB", 2 * 10**9),
        ("2 gib", 2**31),
        (" 512MiB ", 2**29),
        ("1.5GB", 1_500_000_000),
        (".5 MB", 500_000),
        ("10kB", 10_000),
        ("3KiB", 3072),
        ("1TB", 10**12),
        ("100", 100),
        (100, 100),
        ("7B", 7),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_a_size_in_bytes(size: int | str, n_bytes: int) -> None:
    assert parse_memory(size) == n_bytes


@pytest.mark.parametrize(
    "size", ["", "GB", "two GB", "-1GB", "0", "0.0GB", "2GBs", "1e9", "2 G", "nan", "1.2.3", "٣", True]
)
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(SettingError, match=re.escape(f"memory is {size!r}")) as caught:
        parse_memory(size)
    assert "2GB" in caught.value.remedy


@given(st.integers(1, 10**15))
def test_a_size_written_is_read_again(n_bytes: int) -> None:
    assert parse_memory(n_bytes) == parse_memory(str(n_bytes)) == n_bytes
    assert parse_memory(format_memory(n_bytes)) == pytest.approx(n_bytes, rel=0.051)
    assert len(format_memory(n_bytes)) <= 7


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_an_error_of_ours(text: str) -> None:
    with suppress(SettingError):
        assert parse_memory(text) >= 1


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        *((0, "0 B"), (9, "9 B"), (999, "999 B"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (9_960, "10 kB")),
        *((999_600, "1.0 MB"), (345_000_000, "345 MB"), (2 * 10**9, "2.0 GB"), (10**15, "1000 TB")),
    ],
)
def test_a_size_as_people_read_it(n_bytes: int, text: str) -> None:
    assert format_memory(n_bytes) == text
