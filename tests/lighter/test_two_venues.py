"""Real orders on Lighter and on Binance in one session, under faults: each account is its own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from adapters.binance.gateway.keys import Signer as BinanceSigner
from adapters.binance.sandbox.protocol import BinanceUsdmProtocol
from adapters.exchange.options import SandboxOptions
from adapters.exchange.run import shared_start
from adapters.exchange.server import LocalExchange
from adapters.lighter.sandbox.protocol import LighterProtocol
from engine.commands.planning import LiveOptions, make_plan
from engine.config import Config
from engine.events import AccountAdjusted, AccountRead, InstrumentListed, OrderFilled, PositionDiffers
from engine.loading.venues import find_venue
from engine.runtime.live import Live
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.lighter.gateway.venue import ACCOUNT, KEY_INDEX, signer
from tests.live.kit import assert_replays, of
from tests.live.two_venues import config
from tests.pacing import pacing

LIGHTER, BINANCE = "lighter", "binance-usdm"
FAULTS = "lost-reply:0.05@exchange,cut:0.02@user,drop:0.02@user"
OWN = {
    LIGHTER: (LighterProtocol, (f"{ACCOUNT}:{KEY_INDEX}:{signer().public}", "100000")),
    BINANCE: (BinanceUsdmProtocol, (f"{API_KEY}:{SECRET}", "50000")),
}


def settings() -> Config:
    return msgspec.structs.replace(
        config("tests.live.traders:Both", on_stop="keep"),
        venues={
            LIGHTER: {"network": "sandbox", "account": str(ACCOUNT)},
            BINANCE: {"network": "sandbox", "account": "main"},
        },
    )


async def test_orders_go_to_both_venues_and_each_account_is_what_its_venue_says(
    paced_clock: Any, tmp_path: Path
) -> None:
    options = SandboxOptions(
        port=0, instruments=("BTC",), rate_limit=False, maker=True, history_s=60.0, speed=10.0, faults=FAULTS
    )
    exchanges = {
        name: LocalExchange(msgspec.structs.replace(options, seed=seed, accounts=(who,)), protocol)
        for seed, (name, (protocol, who)) in enumerate(OWN.items(), 1)
    }
    async with pacing(), trio.open_nursery() as nursery:
        start = shared_start(exchanges, options)
        urls = {
            name: (await nursery.start(partial(one.serve, start=start))).base_url
            for name, one in exchanges.items()
        }
        asked = LiveOptions(
            config=settings(),
            root=tmp_path,
            venue=find_venue(LIGHTER),
            signers={LIGHTER: signer(), BINANCE: BinanceSigner(f"{API_KEY} {SECRET}", "main")},
        )
        plan = await make_plan(asked, urls[LIGHTER], [(find_venue(BINANCE), urls[BINANCE])])
        live = Live(plan, lambda _: None)

        async def drive() -> None:
            await trio.sleep(2.5)
            for one in exchanges.values():
                one.faults.disarm()
            await trio.sleep(1.5)
            live.stop("script")

        nursery.start_soon(drive)
        await live.run()
        nursery.cancel_scope.cancel()
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    fills = of(OrderFilled, tmp_path)
    for name, exchange in exchanges.items():
        trading: Any = exchange.protocol.trading  # type: ignore[attr-defined]
        account = trading.accounts[ACCOUNT if name == LIGHTER else 0]
        theirs = {(one.number, one.order.number, one.size) for one in account.trades}
        ours = {
            (one.trade_id, one.venue_order_id, one.size) for one in fills if listed[one.instrument] == name
        }
        assert theirs, name
        assert ours == theirs, name
    assert {one.venue for one in of(AccountRead, tmp_path)} == {LIGHTER, BINANCE}
    assert not of(PositionDiffers, tmp_path)
    assert not of(AccountAdjusted, tmp_path)
    assert_replays(tmp_path)
