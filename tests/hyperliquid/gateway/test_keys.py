"""The key is read from places that only its owner can read, and is never shown (S01, S02, S03, L09)."""

from __future__ import annotations

import copy
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.hyperliquid.gateway.keys import Secret, Signer, load_key
from adapters.hyperliquid.signing import address_of
from engine.config import VenueConfig
from engine.errors import SafetyRefusal

KEY = "0x" + "5a" * 31 + "17"
FORMS = (KEY, KEY[2:], KEY[2:].upper(), KEY[2:][::-1], str(int(KEY, 16)), repr(bytes.fromhex(KEY[2:])))


def key_file(folder: Path, text: str = KEY, mode: int = 0o600) -> str:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def shown(text: str) -> bool:
    return any(form in text for form in FORMS)


def test_a_key_is_read_from_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    signer = load_key(VenueConfig(key_file=key_file(tmp_path, KEY + "\n")), {})
    assert signer.address == address_of(KEY)
    assert not signer.mainnet
    assert load_key(VenueConfig(network="mainnet", key_file=key_file(tmp_path)), {}).mainnet


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o700 | 0o004])
def test_s02_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SafetyRefusal, match="chmod 600"):
        load_key(VenueConfig(key_file=key_file(tmp_path, mode=mode)), {})


@pytest.mark.parametrize("text", ["", "0x", "hello", KEY[:-2], KEY + "00", "0x" + "00" * 32, "\x00" * 66])
def test_s02_a_file_without_a_key_is_refused_without_showing_its_content(tmp_path: Path, text: str) -> None:
    with pytest.raises(SafetyRefusal) as refusal:
        load_key(VenueConfig(key_file=key_file(tmp_path, text)), {})
    assert len(text) < 4 or text not in str(refusal.value)


def test_s02_links_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    target = key_file(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(target)
    for path in (link, tmp_path, tmp_path / "none"):
        with pytest.raises(SafetyRefusal):
            load_key(VenueConfig(key_file=str(path)), {})


def test_s03_the_variable_is_removed_from_the_environment() -> None:
    environ = {"RETAPE_KEY": KEY, "OTHER": "x"}
    assert load_key(VenueConfig(), environ).address == address_of(KEY)
    assert environ == {"OTHER": "x"}


def test_without_any_key_the_session_is_refused() -> None:
    with pytest.raises(SafetyRefusal, match="there is no key"):
        load_key(VenueConfig(), {})


def test_a_keyring_entry_is_read_last(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    asked: list[Any] = []

    def get_password(service: str, name: str) -> str | None:
        asked.append((service, name))
        return KEY if name == "mine" else None

    monkeypatch.setattr(keyring, "get_password", get_password)
    assert load_key(VenueConfig(key_ring="mine"), {}).address == address_of(KEY)
    with pytest.raises(SafetyRefusal, match="no entry"):
        load_key(VenueConfig(key_ring="other"), {})
    assert asked == [("retape", "mine"), ("retape", "other")]


def test_s01_no_text_of_a_signer_contains_its_key() -> None:
    signer = Signer(KEY)
    for text in (
        repr(signer),
        str(signer),
        f"{signer}",
        f"{signer!r:>10}",
        repr([signer]),
        repr(dir(signer)),
    ):
        assert not shown(text)
    assert not hasattr(signer, "__dict__")
    with pytest.raises(TypeError):
        copy.copy(signer)
    with pytest.raises(TypeError):
        signer.__reduce_ex__(4)
    for encode in (msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError):
            encode(signer)


def whole(error: BaseException) -> str:
    """Return all that a traceback can show of an error, its causes and the variables of their frames."""
    seen: list[str] = []
    chain: list[BaseException | None] = [error]
    while chain:
        one = chain.pop()
        if one is not None:
            found = traceback.TracebackException.from_exception(one, capture_locals=True)
            seen += [*found.format(), repr(one), repr(one.args)]
            chain += [one.__cause__, one.__context__]
    return "".join(seen)


def test_s01_a_traceback_with_locals_does_not_hold_it(tmp_path: Path) -> None:
    signer = Signer(KEY)

    def refuse(*_: object) -> None:
        raise KeyboardInterrupt

    failing: list[Callable[[], object]] = [
        lambda: signer.sign({"type": object()}, 1, None, None),
        lambda: signer.sign({"type": "noop"}, -1, None, None),
        lambda: signer.sign({"type": "noop"}, 1, "0x12", None),
        lambda: signer._secret.use(refuse),
        lambda: Signer(Secret(KEY + "00")),
        lambda: load_key(VenueConfig(key_file=key_file(tmp_path, KEY + "00")), {}),
        lambda: load_key(VenueConfig(), {"RETAPE_KEY": KEY + "00"}),
    ]
    for number, call in enumerate(failing):
        try:
            call()
        except BaseException as error:
            output = whole(error)
        else:
            pytest.fail(f"{number} did not fail")
        assert f"number = {number}" in output, "the frames' own variables were looked at"
        assert not shown(output), number


def test_s01_a_secret_is_not_shown_copied_or_packed() -> None:
    secret = Secret(KEY)
    for text in (repr(secret), str(secret), f"{secret}", repr([secret])):
        assert not shown(text)
    for copying in (copy.copy, copy.deepcopy, lambda one: one.__reduce_ex__(4)):
        with pytest.raises(TypeError):
            copying(secret)
    with pytest.raises(TypeError):
        vars(secret)


def test_s03_the_variable_is_removed_even_if_another_key_is_used(tmp_path: Path) -> None:
    environ = {"RETAPE_KEY": "0x" + "11" * 32, "OTHER": "x"}
    assert load_key(VenueConfig(key_file=key_file(tmp_path)), environ).address == address_of(KEY)
    assert environ == {"OTHER": "x"}


def test_s03_no_child_inherits_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAPE_KEY", KEY)
    assert load_key(VenueConfig()).address == address_of(KEY)
    output = subprocess.run(
        [sys.executable, "-c", "import os; print(sorted(os.environ.items()))"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert "PATH" in output.stdout
    assert "RETAPE_KEY" not in output.stdout
    assert not shown(output.stdout)


LIMITS = """
import ctypes, resource, sys
from adapters.hyperliquid.gateway.keys import load_key
from engine.config import VenueConfig
load_key(VenueConfig(network="testnet", account="0x" + "1" * 40, key_file=sys.argv[1]))
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_GET_DUMPABLE exists on Linux only")
def test_s16_a_process_with_a_signer_leaves_no_core_dump(tmp_path: Path) -> None:
    """S16: the limit is 0, and the process is not dumpable: not even through a pipe of the kernel."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITS, key_file(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "0"]
