"""The API key and its secret are read from places that only their owner can read, and are never shown."""

from __future__ import annotations

import copy
import traceback
from pathlib import Path

import pytest

from adapters.binance.gateway.keys import Signer, load_key
from adapters.binance.settings import BinanceSettings
from engine.errors import SafetyRefusal
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.binance.gateway.test_signing import pem

TEXT = f"{API_KEY}\n{SECRET}\n"


def key_file(folder: Path, text: str = TEXT, mode: int = 0o600) -> str:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("space", ["\n", " ", "\r\n", "\n\n\t"])
def test_a_key_and_its_secret_are_read_from_a_file(tmp_path: Path, space: str) -> None:
    path = key_file(tmp_path, f"{API_KEY}{space}{SECRET}\n")
    signer = load_key(BinanceSettings(account="main", key_file=path), {})
    assert (signer.address, signer.kind) == ("main", "hmac")
    assert signer.headers() == {"X-MBX-APIKEY": API_KEY}


def test_an_ed25519_key_is_told_by_its_shape(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    path = key_file(tmp_path, f"{API_KEY}\n{pem()}\n")
    assert load_key(BinanceSettings(account="main", key_file=path), {}).kind == "ed25519"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_s02_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SafetyRefusal, match="chmod 600"):
        load_key(BinanceSettings(account="main", key_file=key_file(tmp_path, mode=mode)), {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        API_KEY,
        SECRET[:-1] + " " + SECRET,
        f"{API_KEY} {SECRET}0",
        f"{API_KEY} 0x{'5a' * 32}",
        *(
            f"{API_KEY}\n-----BEGIN {kind}PRIVATE KEY-----\n{'QUJD' * 20}\n-----END {kind}PRIVATE KEY-----"
            for kind in ("RSA ", "ENCRYPTED ", "")
        ),
    ],
)
def test_s02_what_is_no_key_is_refused_by_its_shape_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(SafetyRefusal, match="holds no API key with its secret") as refusal:
        load_key(BinanceSettings(account="main", key_file=key_file(tmp_path, text)), {})
    trace = refusal.value.__traceback__
    assert trace is not None
    # Without the frame of this test, whose variables hold it.
    found = traceback.TracebackException(SafetyRefusal, refusal.value, trace.tb_next, capture_locals=True)
    assert SECRET not in "".join(found.format())
    assert "QUJDQUJD" not in "".join(found.format())


def test_s03_the_variable_is_removed_from_the_environment() -> None:
    environ = {"RETAPE_BINANCE_KEY": TEXT, "OTHER": "x"}
    assert load_key(BinanceSettings(account="main"), environ).kind == "hmac"
    assert environ == {"OTHER": "x"}


def test_without_a_key_or_an_account_the_session_is_refused() -> None:
    with pytest.raises(SafetyRefusal, match=r"set key_file \(mode 0600\) under \[venues.binance\]"):
        load_key(BinanceSettings(account="main"), {})
    with pytest.raises(SafetyRefusal, match="no account is configured"):
        load_key(BinanceSettings(), {"RETAPE_BINANCE_KEY": TEXT})


def test_s01_no_text_of_a_signer_contains_its_key() -> None:
    signer = Signer(TEXT, "main")
    for text in (repr(signer), str(signer), f"{signer}", repr([signer]), repr(dir(signer))):
        assert SECRET not in text
        assert API_KEY not in text
    with pytest.raises(TypeError):
        copy.copy(signer)
