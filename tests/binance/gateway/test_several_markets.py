"""Several markets: a stop is found whichever is asked first, and all have one quote currency."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import trio
from trio.testing import MockClock

from adapters.binance.gateway.access import check_quotes
from engine.errors import SafetyRefusal
from engine.events import AccountRead, OrderFilled, OrderRead
from engine.values import BUY, SELL
from tests.binance.gateway.test_gateway import staged, stop
from tests.binance.gateway.venue import listed_perp
from tests.venues.staging import name, order, virtual_time


@pytest.fixture(autouse=True)
def virtual() -> Iterator[None]:
    with virtual_time():
        yield


async def test_a_stop_that_fired_in_the_second_market_does_not_stop_the_reading(
    autojump_clock: MockClock,
) -> None:
    async with staged(also=[listed_perp(2, "ETHUSDT", 2, 3)]) as stage:
        stage.do(order(stage, 1, BUY, 2000))
        await stage.until(OrderFilled)
        stage.do(stop(stage, 2, 9_500))
        await stage.accepted(2)
        stage.venue.restart(20_000)
        await trio.sleep(1)
        stage.venue.trading.add_trade("BTCUSDT", 9_490, 1, SELL, stage.venue.now_ms)
        await stage.until(AccountRead, count=2)
        (read,) = [one for one in stage.of(OrderRead) if one.client_order_id == name(2)]
        assert (read.instrument, read.state, read.triggered) == (1, "filled", True)
        assert stage.gateway.health.reads_failed == 0


def test_two_quote_currencies_are_refused() -> None:
    one = listed_perp(1, "BTCUSDT", 2, 3)
    other = msgspec.structs.replace(
        one, name="BTCUSDC", rules=msgspec.structs.replace(one.rules, quote="USDC")
    )
    check_quotes([one, one])
    with pytest.raises(SafetyRefusal, match="USDC, USDT"):
        check_quotes([one, other])
