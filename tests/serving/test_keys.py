"""API keys: hashes at rest, scopes, changes that a server sees."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from penchant.cli import run
from penchant.errors import InputError, SettingError
from penchant.serving.keys import Keys, add_key, read_keys, remove_key


def test_a_key_opens_what_its_scopes_say(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    reader, both = add_key(path, "reader", ["read"]), add_key(path, "both", ["write", "read"])
    keys = Keys.load(path)
    assert keys.verify(reader) == {"read"}
    assert keys.verify(both) == {"read", "write"}
    for wrong in ("", reader[:-1], reader + "x", reader.upper(), "é", "\ud800", read_keys(path)[0].sha256):
        assert keys.verify(wrong) is None


def test_the_file_has_no_key_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first, second = add_key(path, "a", ["read"]), add_key(path, "b", ["admin"])
    assert first != second
    assert len(first) > 40
    assert first.removeprefix("pk_") not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["keys.json", "keys.json.lock"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_file_that_is_there_keeps_its_mode_and_owner(mode: int, tmp_path: Path) -> None:
    """A service of another user reads it."""
    path = tmp_path / "keys.json"
    add_key(path, "a", ["read"])
    owner = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    path.chmod(mode)
    for change in (lambda: add_key(path, "b", ["read"]), lambda: remove_key(path, "a")):
        change()
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, *owner)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another group")
def test_another_group_may_not_read_what_one_could(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "a", ["read"])
    os.chown(path, -1, 65534)
    path.chmod(0o644)

    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    add_key(path, "b", ["read"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_running_server_sees_changes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first = add_key(path, "a", ["read"])
    keys = Keys.load(path)
    second = add_key(path, "b", ["write"])
    assert keys.verify(second) == {"write"}
    remove_key(path, "a")
    assert keys.verify(first) is None
    path.write_text("{")
    assert keys.verify(second) is None  # closed, where the file says nothing
    path.unlink()
    assert keys.verify(second) is None


def test_many_add_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    threads = [threading.Thread(target=add_key, args=(path, str(n), ["read"])) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.name for one in read_keys(path)) == sorted(map(str, range(8)))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": "penchant keys"}', "[" * 100_000]
    + [
        json.dumps({"format": "penchant keys", "keys": [{"name": "a", "scopes": scopes, "sha256": digits, "added": 1}]})
        for scopes, digits in ((["all"], "00" * 32), (["read"], "00"), (["read"], "x" * 64))
    ],
)
def test_what_is_not_a_file_of_keys_is_refused_and_left(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(InputError, match="not a file of keys"):
        Keys.load(path)
    with pytest.raises(InputError):
        add_key(path, "a", ["read"])
    assert path.read_text() == content


def test_bad_wishes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for name, scopes in (("a", ["all"]), ("a", []), (" ", ["read"]), ("a\nb", ["read"]), ("x" * 101, ["read"])):
        with pytest.raises(SettingError):
            add_key(path, name, scopes)
    with pytest.raises(InputError, match="no file"):
        remove_key(path, "a")
    with pytest.raises(InputError, match="no folder"):
        add_key(tmp_path / "no" / "keys.json", "a", ["read"])
    assert not path.exists()
    add_key(path, "a", ["read"])
    with pytest.raises(SettingError, match="already"):
        add_key(path, "a", ["read"])
    with pytest.raises(InputError, match="no key 'b'"):
        remove_key(path, "b")


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "keys.json")
    assert run(["keys", "add", path, "--scope", "read,write", "--name", "shop", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Keys.load(Path(path)).verify(told["key"]) == set(told["scopes"]) == {"read", "write"}
    assert run(["keys", "add", path, "--scope", "admin"]) == 0
    key = capsys.readouterr().out.strip()  # alone on stdout, for KEY=$(penchant keys add …)
    assert Keys.load(Path(path)).verify(key) == {"admin"}
    assert run(["keys", "list", path]) == 0
    listed = capsys.readouterr().out
    assert "shop" in listed
    assert "key-1" in listed
    assert run(["keys", "list", path, "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert run(["keys", "remove", path, "shop"]) == 0
    assert [one.name for one in read_keys(Path(path))] == ["key-1"]
    capsys.readouterr()
    assert run(["keys", "add", path, "--scope", "all"]) == 2
    assert "read, write, admin" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["keys.json", "keys.json.lock"]
