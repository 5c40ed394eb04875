"""Real orders need the mode, the key and --arm together; otherwise exit 6 and nothing is sent (L09, L10)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.hyperliquid.signing import address_of
from engine.commands.arming import armed_venues
from engine.errors import SafetyRefusal, UsageError
from engine.events import AccountRead, OrderFilled
from engine.loading.venues import find_venue
from tests.commands.kit import (
    as_json,
    assert_replays,
    days,
    engine,
    environment,
    lines,
    sandbox,
    spawn,
    trade_until,
)

KEY = "0x" + "31" * 32
ADDRESS = address_of(KEY)


@pytest.fixture(scope="module")
def venue() -> Iterator[str]:
    with sandbox("--account", f"{ADDRESS}:50000", "--maker", "--speed", "10", "--rate-limit", "off") as url:
        yield url


def write_config(
    folder: Path, *, mode: str = "live", network: str = "sandbox", key: str = KEY, account: str = ADDRESS
) -> Path:
    """Write a configuration and a key file to a folder; return the path of the configuration."""
    (folder / "key").write_text(key)
    (folder / "key").chmod(0o600)
    text = f'mode = "{mode}"\n[bars]\nintervals = ["5s", "1m"]\n'
    text += '[[strategies]]\nuse = "tests.live.traders:Busy"\n'
    text += f'[venue]\nnetwork = "{network}"\naccount = "{account}"\nkey_file = "{folder / "key"}"\n'
    path = folder / "c.toml"
    path.write_text(text)
    return path


def options(config: Path, url: str, *more: str) -> tuple[object, ...]:
    where = ("--venue", "hyperliquid", "--base-url", url, "--instruments", "BTC,ETH")
    return ("--config", config, *where, "--json", *more)


def live(folder: Path, config: Path, url: str, *more: str) -> tuple[object, ...]:
    return ("live", *options(config, url, *more), "--journal", folder / "j", "--for", "1s")


def test_an_armed_session_sends_real_orders_and_writes_its_key_nowhere(venue: str, tmp_path: Path) -> None:
    armed = options(write_config(tmp_path), venue, "--arm")
    result = as_json(trade_until(tmp_path / "j", {AccountRead: 1, OrderFilled: 1}, *armed))
    assert result["live_orders"] == 0
    (day,) = days(tmp_path / "j")
    started = lines(engine("inspect", day, "--type", "SessionStarted", "--json"))
    assert [one["mode"] for one in started] == ["live"]
    assert lines(engine("inspect", day, "--type", "AccountRead", "--json"))
    assert lines(engine("inspect", day, "--type", "OrderFilled", "--json"))
    assert_replays(tmp_path / "j")
    for path in (tmp_path / "j").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for form in (KEY[2:].encode(), KEY[2:][::-1].encode(), bytes.fromhex(KEY[2:])):
                assert form not in data, f"S01: the key is in {path}"


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        ({}, (), "add --arm"),
        ({"mode": "paper"}, ("--arm",), "--mode live"),
        ({"network": "testnet"}, ("--arm",), "is not https://api.hyperliquid-testnet.xyz"),
        ({"network": "mainnet"}, ("--arm",), "is not https://api.hyperliquid.xyz"),
        ({"account": ""}, ("--arm",), "account"),
        ({"key": "nonsense"}, ("--arm",), "no private key"),
    ],
)
def test_l10_without_all_three_nothing_is_sent_and_the_exit_code_is_6(
    venue: str, tmp_path: Path, change: dict[str, str], more: tuple[str, ...], words: str
) -> None:
    done = engine(*live(tmp_path, write_config(tmp_path, **change), venue, *more))
    assert done.code == 6, (done.out, done.err)
    assert words in done.err
    assert KEY[2:] not in done.err
    assert not (tmp_path / "j").exists()


def armed(*given: str, mode: str = "live") -> list[str]:
    venues = [find_venue(name) for name in ("hyperliquid", "binance-usdm", "kraken")]
    return [one.name for one in armed_venues(venues, mode, given)]


def test_each_of_several_venues_is_armed_by_its_name() -> None:
    assert armed("hyperliquid") == ["hyperliquid"]
    assert armed("binance-usdm", "hyperliquid") == ["hyperliquid", "binance-usdm"]
    assert armed(mode="paper") == []
    assert [one.name for one in armed_venues([find_venue("hyperliquid")], "live", [""])] == ["hyperliquid"]


@pytest.mark.parametrize(
    ("given", "mode", "words"),
    [
        (("",), "live", "such as --arm hyperliquid --arm binance-usdm; the others are watched only"),
        (("", "hyperliquid"), "live", "--arm needs the name of each"),
        (("kraken",), "live", "takes no real orders"),
        (("hyperliquid",), "paper", "add --mode live"),
        ((), "live", "add --arm"),
        (("hyperliquit",), "live", "did you mean hyperliquid"),
    ],
)
def test_arming_of_several_venues_that_is_ambiguous_is_refused(
    given: tuple[str, ...], mode: str, words: str
) -> None:
    with pytest.raises((SafetyRefusal, UsageError), match=words):
        armed(*given, mode=mode)


def test_l10_a_key_of_another_account_is_refused(venue: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, key="0x" + "32" * 32)
    done = engine(*live(tmp_path, config, venue, "--arm"))
    assert done.code == 6, (done.out, done.err)
    assert ADDRESS in done.err
    assert not (tmp_path / "j").exists()


def test_l09_a_paper_session_does_not_open_the_key_file(venue: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, mode="paper")
    (tmp_path / "key").unlink()
    result = as_json(spawn(*live(tmp_path, config, venue)))
    assert result["session"]


def test_l09_paper_and_the_embedded_sandbox_need_no_signing_library() -> None:
    blocked = (
        "import sys; sys.modules.update({name: None for name in ('eth_account', 'eth_utils', 'keyring')}); "
    )
    modules = (
        "adapters.hyperliquid.venue, adapters.sandbox.server, engine.commands.live, engine.commands.sandbox"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{blocked}import {modules}"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
