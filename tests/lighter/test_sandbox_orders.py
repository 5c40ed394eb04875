"""Real orders on the sandbox over its sockets: the engine's, and those of the venue's own client."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from adapters.exchange.options import SandboxOptions
from adapters.exchange.server import LocalExchange
from adapters.lighter.sandbox.protocol import LighterProtocol
from adapters.lighter.venue import LighterVenue
from engine.commands.planning import LiveOptions, make_plan
from engine.config import BarsConfig, Config, DataConfig, RiskConfig, StrategyConfig, VenueConfig
from engine.errors import ConfigError, SafetyRefusal, UsageError
from engine.events import (
    AccountAdjusted,
    AccountRead,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    PositionDiffers,
    PositionRead,
)
from engine.runtime.live import Live
from tests.binance.stage import events, replays
from tests.lighter.gateway.venue import ACCOUNT, KEY_INDEX, PRIVATE, signer
from tests.pacing import pacing

CASH = (f"{ACCOUNT}:{KEY_INDEX}:{signer().public}", "100000")
SDK = os.environ.get("RETAPE_LIGHTER_SDK", sys.executable)
"""The Python that has lighter-sdk: its versions of other packages do not go with those of the engine."""

SCRIPT = Path(__file__).with_name("official_client.py")


def config_of(**own: Any) -> Config:
    return Config(
        mode="live",
        bars=BarsConfig(intervals=("5s",)),
        strategies=(StrategyConfig(use="tests.binance.traders:Round"),),
        risk=RiskConfig(max_orders_per_minute=0, on_stop="cancel"),
        venue=VenueConfig(network="sandbox"),
        data=DataConfig(channels=(), warmup_bars=0, check_minutes=0),
        venues={"lighter": {"network": "sandbox", "account": str(ACCOUNT), **own}},  # type: ignore[dict-item]
    )


async def test_a_session_buys_rests_protects_and_closes(paced_clock: Any, tmp_path: Path) -> None:
    options = SandboxOptions(
        port=0, instruments=("BTC",), accounts=(CASH,), maker=True, rate_limit=False, history_s=60
    )
    exchange = LocalExchange(options, LighterProtocol)
    async with pacing(), trio.open_nursery() as nursery:
        address = await nursery.start(exchange.serve)
        asked = LiveOptions(config=config_of(), root=tmp_path, venue=LighterVenue(), signer=signer())
        live = Live(await make_plan(asked, address.base_url), lambda _: None)

        async def drive() -> None:
            await trio.sleep(36)
            live.stop("script")

        nursery.start_soon(drive)
        await live.run()
        nursery.cancel_scope.cancel()
    protocol = exchange.protocol
    assert isinstance(protocol, LighterProtocol)
    account = protocol.trading.accounts[ACCOUNT]
    found = events(tmp_path)
    fills = [one for one in found if isinstance(one, OrderFilled)]
    theirs = [(one.number, one.order.number, one.size) for one in account.trades]
    assert [(one.trade_id, one.venue_order_id, one.size) for one in fills] == theirs
    assert len(fills) >= 2
    assert not account.orders, "nothing is left open"
    assert all(not held.size for held in account.positions.values())
    assert [one for one in found if isinstance(one, PositionDiffers | AccountAdjusted)] == []
    assert [one.reason for one in found if isinstance(one, OrderRejected)] == []
    assert any(isinstance(one, AccountRead) for one in found)
    assert any(isinstance(one, OrderAccepted) for one in found)
    assert [one.reason for one in found if isinstance(one, OrderCanceled)].count("canceled") == 2
    assert [one for one in found if isinstance(one, PositionRead)][-1].size == 0
    stops = [(one.status, one.reduce_only) for one in account.history.values() if one.kind == 2]
    assert stops == [("canceled", True)]
    replays(tmp_path)


def has_client() -> bool:
    """Return whether the venue's client is installed where the test looks for it."""
    return sys.executable != SDK or importlib.util.find_spec("lighter") is not None


@pytest.mark.skipif(not has_client(), reason="lighter-sdk is not installed (RETAPE_LIGHTER_SDK)")
async def test_the_venues_own_client_trades_on_the_sandbox() -> None:
    options = SandboxOptions(port=0, instruments=("BTC",), accounts=(CASH,), rate_limit=False, history_s=60)
    exchange = LocalExchange(options, LighterProtocol)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(exchange.serve)
        command = [SDK, str(SCRIPT), address.base_url, str(ACCOUNT), str(KEY_INDEX), PRIVATE[0]]
        with trio.fail_after(90):
            done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
        nursery.cancel_scope.cancel()
    assert done.returncode == 0, done.stdout.decode()[-4000:]
    assert done.stdout.decode().split()[-1] == "traded"


@pytest.mark.parametrize(
    ("own", "base_url", "words"),
    [
        ({"network": "mainnet"}, None, "mainnet are refused until its testnet has proved them"),
        ({"network": "mainnet"}, "https://mainnet.zklighter.elliot.ai", "are refused until"),
        ({"network": "sandbox"}, None, "need its --base-url"),
        ({"network": "sandbox"}, "https://testnet.zklighter.elliot.ai", "is not on this machine"),
        ({"network": "testnet"}, "https://mainnet.zklighter.elliot.ai", "is not https://testnet"),
        ({"network": "testnet"}, "http://127.0.0.1:1", "is not https://testnet"),
    ],
)
def test_real_orders_go_to_the_configured_network_and_never_to_mainnet(
    own: dict[str, str], base_url: str | None, words: str
) -> None:
    with pytest.raises(SafetyRefusal, match=words):
        LighterVenue().address(config_of(**own), base_url, real=True)


def test_the_testnet_and_a_sandbox_are_open() -> None:
    venue = LighterVenue()
    testnet = "https://testnet.zklighter.elliot.ai"
    assert venue.address(config_of(network="testnet"), None, real=True) == testnet
    local = "http://127.0.0.1:3001"
    assert venue.address(config_of(network="sandbox"), local, real=True) == local
    assert venue.address(config_of(network="mainnet"), local, real=False) == local


@pytest.mark.parametrize(
    "own",
    [{"account": "0x12"}, {"account": "1" * 16}, {"key_index": 1}, {"key_index": 255}, {"network": "x"}],
)
def test_impossible_settings_are_refused(own: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"venues\.lighter"):
        LighterVenue().check(config_of(**own))


def test_a_key_is_loaded_by_its_settings_and_never_shown(tmp_path: Path) -> None:
    venue = LighterVenue()
    environ = {"RETAPE_LIGHTER_KEY": PRIVATE[0]}
    loaded = venue.load_signer(config_of(), environ)
    assert (environ, loaded.address) == ({}, str(ACCOUNT))
    assert PRIVATE[0][2:20] not in repr(loaded) + str(vars(type(loaded)))
    with pytest.raises(TypeError, match="cannot be copied"):
        loaded.__reduce_ex__(2)
    wrong = tmp_path / "key"
    wrong.write_text("0x1234")
    wrong.chmod(0o600)
    with pytest.raises(SafetyRefusal, match="holds no private API key of lighter") as refused:
        venue.load_signer(config_of(key_file=str(wrong)), {})
    assert "1234" not in str(refused.value)
    with pytest.raises(SafetyRefusal, match="no account is configured"):
        venue.load_signer(config_of(account=""), {})


@pytest.mark.parametrize("text", ["", "1:4", "1:4:0x12", "a:4:" + "0" * 80, "1:4:" + "f" * 80])
def test_accounts_of_the_sandbox_have_public_keys(text: str) -> None:
    with pytest.raises(UsageError, match="ACCOUNT:KEY:PUBLIC:AMOUNT"):
        LighterProtocol.check(SandboxOptions(accounts=((text, "1"),)))
