"""The command line as a program of its own: exit codes, signals, pipes, encodings, and what it imports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from penchant.data.synthetic import planted
from penchant.serving.recommender import Recommender

PENCHANT = [sys.executable, "-m", "penchant"]
ENDLESS = ["fit", "ratings.csv", "--model", "mf", "--epochs", "1000000", "-o", "saved"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")

SLOW_NET = """
import time
import torch

class Slow(torch.nn.Module):
    def __init__(self, n_users, n_items):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        time.sleep(60)
        return self.mean.expand(len(x))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ratings.csv, items.csv and a saved model; its titles have letters that ASCII has not."""
    folder = tmp_path_factory.mktemp("shop")
    data = planted(40, 60, 800, seed=5)
    users, items = data.users.take(data.user_rows), data.items.take(data.item_rows)
    pl.DataFrame({"user": users, "item": items, "rating": data.ratings}).write_csv(folder / "ratings.csv")
    ids = data.items.ids
    pl.DataFrame({"item": ids, "title": [f"Amélie {id_}" for id_ in ids]}).write_csv(folder / "items.csv")
    penchant("fit", "ratings.csv", "--items", "items.csv", "--epochs", "2", "-o", "model", cwd=folder)
    return folder


@pytest.fixture
def there(shop: Path, tmp_path: Path) -> Path:
    for path in shop.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def penchant(*arguments: str, cwd: Path, code: int = 0, **how: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **how.pop("env", {})}
    run = subprocess.run([*PENCHANT, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, **how)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    assert "Exception ignored" not in run.stderr
    return run


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.is_symlink()}


def test_json_is_all_there_is_on_stdout(there: Path) -> None:
    (there / "twice.csv").write_text("user,item,rating\n1,1,3\n1,1,4\n1,2,2\n2,1,5\n2,2,1\n", encoding="utf-8")
    run = penchant("fit", "twice.csv", "--model", "bias", "--json", cwd=there)
    assert [json.loads(line)["event"] for line in run.stdout.splitlines()] == ["epoch", "result"]
    assert run.stderr.startswith("note: ")


def test_a_mistake_is_exit_code_2_with_a_message_on_stderr(there: Path) -> None:
    run = penchant("fit", "ratings.csv", "--user", "nosuch", "-o", "saved", cwd=there, code=2)
    assert run.stdout == ""
    assert run.stderr.startswith("error: ratings.csv: There is no column 'nosuch'")
    assert written(there) == set()


def test_warnings_of_libraries_are_for_programmers(there: Path) -> None:
    (there / "net.py").write_text("import warnings\nwarnings.warn('for programmers')\n", encoding="utf-8")
    run = penchant("fit", "ratings.csv", "--model", "net.py:Net", cwd=there, code=2)
    assert "for programmers" not in run.stderr


def test_what_would_take_too_much_memory_is_refused_before_it_starts(there: Path) -> None:
    """Before reading, and with a little more before fitting: of a large model that no machine has room for."""
    run = penchant("fit", "ratings.csv", "--memory", "20MB", "-o", "saved", cwd=there, code=2)
    assert run.stdout == ""
    assert run.stderr.startswith("error: Reading ratings.csv would take about ")
    assert "The limit (--memory) is 20 MB." in run.stderr
    large = ["--factors", "10000000"]
    for command, limit in ((["fit"], ["--memory", "5GB"]), (["compare", "--models", "bias,mf"], [])):
        run = penchant(*command, "ratings.csv", *large, *limit, "-o", "saved", cwd=there, code=2)
        assert "error: Fitting mf would take about" in run.stderr
        assert "for the factors of users and items, and a copy of the best" in run.stderr
        assert "Use fewer --factors." in run.stderr
        assert "epoch" not in run.stdout
    assert written(there) == set()


def test_garbage_is_collected_seldom_in_a_command_and_only_there(there: Path) -> None:
    program = """
import gc, sys
import penchant.__main__
before = gc.get_threshold()
import penchant.cli
assert gc.get_threshold() == before
sys.argv = ["penchant", "--version"]
try:
    penchant.__main__.main()
except SystemExit as ending:
    assert ending.code == 0
assert gc.get_threshold() == (50_000, 20, 100), gc.get_threshold()
"""
    subprocess.run([sys.executable, "-c", program], cwd=there, capture_output=True, text=True, check=True)


def test_ctrl_c_while_importing_is_no_traceback(there: Path) -> None:
    program = """
import sys
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
from penchant.__main__ import main
main()
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=there, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "error: Interrupted.\n")


# --- signals ----------------------------------------------------------------------------------------


def signalled(folder: Path, arguments: list[str], after: str, number: int) -> tuple[int, str, str]:
    """Start a command, send it a signal when it has printed a line that begins so, and wait for its end."""
    process = subprocess.Popen(
        [*PENCHANT, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.strip().startswith(after):
            break
    time.sleep(0.2)
    process.send_signal(number)
    try:
        rest, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert "Traceback" not in err
    return process.returncode, "".join(lines) + rest, err


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_a_fit_keeps_the_best_epoch_and_saves_it(there: Path, number: int, code: int) -> None:
    found, out, err = signalled(there, ENDLESS, "3 ", number)
    assert found == code
    assert "note: Interrupted after" in err
    assert out.endswith("Saved in saved\n")
    log = Recommender.load(there / "saved").log
    assert log is not None
    assert log.ending == "interrupted"
    assert log.valid_loss == min(epoch.valid_loss for epoch in log.epochs if epoch.valid_loss is not None)
    assert f"the weights of epoch {log.kept_epoch} are kept" in err
    assert written(there) == {"saved"}


@POSIX
def test_json_says_how_an_interrupted_fit_ended(there: Path) -> None:
    code, out, _ = signalled(there, [*ENDLESS, "--json"], '{"event": "epoch", "model": "mf", "epoch": 3', signal.SIGINT)
    result = json.loads(out.splitlines()[-1])
    assert (code, result["event"], result["ending"], result["artifact"]) == (130, "result", "interrupted", "saved")


@POSIX
def test_ctrl_c_before_the_first_epoch_ends_writes_nothing(there: Path) -> None:
    pytest.importorskip("torch")
    (there / "net.py").write_text(SLOW_NET, encoding="utf-8")
    arguments = ["fit", "ratings.csv", "--model", "net.py:Slow", "-o", "saved"]
    code, _, err = signalled(there, arguments, "epoch", signal.SIGINT)
    assert code == 130
    assert err == "error: Interrupted before the first epoch ended: nothing was learnt, nothing was written.\n"
    assert written(there) - {"__pycache__"} == {"net.py"}


# --- pipes and screens ------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize(
    "arguments",
    [
        ["recommend", "model", "--user", "1", "-k", "100000"],
        ["predict", "model", "ratings.csv"],
        ["fit", "--help"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_closed_pipe_is_no_fault(there: Path, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        run = subprocess.run([*PENCHANT, *arguments], cwd=there, stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert run.stderr == "" or run.stderr.startswith("note: ")
    assert run.stderr.count("\n") <= 1
    assert run.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told(there: Path) -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([*PENCHANT, "explain", "model"], cwd=there, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (2, "error: The output cannot be written: No space left on device.\n")


def test_output_that_has_no_accents_gets_plain_letters(there: Path) -> None:
    env = {"PYTHONIOENCODING": "ascii"}
    assert "Amelie" in penchant("similar", "model", "1", "-k", "3", cwd=there, env=env).stdout
    description = penchant("data", "describe", "ratings.csv", cwd=there, env=env).stdout
    assert "##" in description
    event = json.loads(penchant("explain", "model", "--json", cwd=there, env=env).stdout)
    assert event["best"][0]["name"].startswith("Amélie")


@POSIX
def test_on_a_screen_there_are_bars_and_no_line_is_longer_than_it(there: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR", "CI")}
    environment["TERM"] = "xterm-256color"
    arguments = [*PENCHANT, "fit", "ratings.csv", "--items", "items.csv", "--epochs", "3"]
    process = subprocess.Popen(arguments, cwd=there, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait() == 0
    text = shown.decode()
    assert "━" in text
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", text)]
    assert any(line.startswith("Split: ") for line in lines)
    assert all(len(line) <= 60 for line in lines)


# --- start ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "not_loaded"),
    [
        ("--help", {"numpy", "polars", "numba", "torch", "scipy", "matplotlib", "pydantic"}),
        ("fit --help", {"numba", "torch", "scipy", "matplotlib"}),
        ("explain model", {"numba", "torch", "scipy", "matplotlib", "pooch"}),
        ("fit ratings.csv --model bias", {"torch", "matplotlib", "pooch"}),
        ("recommend model --user 1", {"numba", "torch", "scipy", "matplotlib", "pooch"}),
    ],
)
def test_a_command_loads_only_what_it_needs(there: Path, arguments: str, not_loaded: set[str]) -> None:
    program = (
        "import sys\nfrom penchant.cli import run\n"
        f"assert run({arguments.split()!r}) == 0\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=there, capture_output=True, text=True, check=True)
    assert not_loaded & set(run.stderr.splitlines()[-1].split()) == set()


def test_the_installed_command_is_the_module(there: Path) -> None:
    script = Path(sys.executable).with_name("penchant")
    if not script.exists():
        pytest.skip("penchant is not installed beside this Python")
    run = subprocess.run([str(script), "--version"], capture_output=True, text=True, check=True)
    assert run.stdout == penchant("--version", cwd=there).stdout
