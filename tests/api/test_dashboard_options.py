"""The options of the page: what is refused before anything starts, and what a started one prints."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from engine.commands.serving import opened_dashboard, read_options
from engine.errors import SafetyRefusal, UsageError
from tests.api.kit import link_of
from tests.commands.kit import FAST, engine, spawn


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8710"])
def test_another_address_needs_a_password(address: str) -> None:
    with pytest.raises(SafetyRefusal, match="needs --dashboard-password; an ssh tunnel"):
        read_options(address, (), None, read_only=False)
    assert read_options(address, (), "env:X", read_only=False) is not None
    refused = engine("live", "--dashboard", address)
    assert refused.code == 6
    assert len(refused.err.strip().splitlines()) == 1


def test_a_page_is_refused_where_a_file_has_the_name_of_the_socket(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    (root / "engine.sock").mkdir(parents=True)
    refused = engine("live", "--journal", root, "--dashboard", ":0")
    assert refused.code == 2
    assert "engine.sock: is not a socket; move this file away" in refused.err
    assert list(root.iterdir()) == [root / "engine.sock"], "nothing was started"


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:1", ":0", "127.9.9.9:0"])
def test_loopback_needs_none(address: str) -> None:
    assert read_options(address, (), None, read_only=False) is not None


@pytest.mark.parametrize(
    "options",
    [["--read-only"], ["--dashboard-name", "x"], ["--dashboard-password", "env:X"]],
)
def test_options_of_a_page_that_there_is_not_are_refused(options: list[str]) -> None:
    refused = engine("live", *options)
    assert refused.code == 2
    assert f"{options[0]}: is for the page; give --dashboard as well" in refused.err


@pytest.mark.parametrize("name", ["a b", "a/b", "http://a", "a:80", "", "[::1", "a@b"])
def test_a_name_that_no_browser_sends_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--dashboard-name"):
        read_options(":0", (name,), None, read_only=False)


def test_a_password_comes_from_a_private_file_or_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n", encoding="utf-8")
    file.chmod(0o600)
    monkeypatch.setenv("PAGE_PASSWORD", "correct horse")
    for where in (f"file:{file}", "env:PAGE_PASSWORD"):
        with opened_dashboard(read_options(":0", (), where, read_only=False), print) as opened:
            assert opened is not None
            assert opened.password is not None


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("hunter2hunter2", "write it as file:PATH or env:NAME"),
        ("env:NOT_SET_ANYWHERE", "the variable is not set"),
        ("file:/nothing/here", "cannot be read"),
        ("env:", "write it as"),
    ],
)
def test_a_password_that_cannot_be_read_is_refused_and_not_shown(where: str, words: str) -> None:
    with (
        pytest.raises(UsageError, match=words) as caught,
        opened_dashboard(read_options(":0", (), where, read_only=False), print),
    ):
        pass
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("text", "mode"), [("short", 0o600), ("x" * 2000, 0o600), ("long enough", 0o644)])
def test_a_password_that_protects_nothing_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    file = tmp_path / "password"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    with (
        pytest.raises(SafetyRefusal) as caught,
        opened_dashboard(read_options(":0", (), f"file:{file}", read_only=False), print),
    ):
        pass
    assert text not in str(caught.value)


def test_a_port_in_use_is_refused_before_the_session_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = engine("live", "--dashboard", address, "--journal", tmp_path / "journal")
    assert refused.code == 2
    assert "the port is in use; give another, or :0 for any free one" in refused.err
    assert not (tmp_path / "journal").exists()


def test_the_address_is_printed_and_no_token_is_recorded(tmp_path: Path) -> None:
    root, config = tmp_path / "journal", tmp_path / "fast.toml"
    config.write_text(FAST, encoding="utf-8")
    options = ("--journal", root, "--config", config, "--dashboard", ":0", "--json")
    done = spawn("live", "--for", "1s", *options)
    assert done.code == 0, done.err
    first, *_, last = done.out.splitlines()
    link = json.loads(first)["dashboard"]
    assert list(json.loads(first)) == ["dashboard"]
    assert json.loads(last)["stopped_by"] == "--for 1s"
    token = link.partition("?token=")[2]
    assert link_of(first) == link
    assert link.startswith("http://127.0.0.1:")
    assert len(token) >= 40
    assert token not in done.err
    for folder, _, names in os.walk(root):
        for name in names:
            assert token.encode() not in (Path(folder) / name).read_bytes()
