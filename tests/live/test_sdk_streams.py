"""The official SDK subscribes to every channel and unsubscribes again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.client import Accounts, Client, accounts, closing, status, until

COINS = {"BTC", "ETH"}
BY_COIN = ["trades", "bbo", "l2Book", "candle", "activeAssetCtx"]
MORE: dict[str, Any] = {"candle": {"interval": "1m"}}


@pytest.fixture(scope="module")
def venue() -> Iterator[Accounts]:
    with accounts() as fresh:
        yield fresh


@pytest.fixture
def client(venue: Accounts) -> Iterator[Client]:
    with closing(Client(*next(venue))) as one:
        yield one


@pytest.fixture
def other(venue: Accounts) -> Iterator[Client]:
    """Another account with its own connection."""
    with closing(Client(*next(venue))) as one:
        yield one


def coin_of(channel: str, message: Any) -> set[str]:
    data = message["data"]
    if channel == "trades":
        return {one["coin"] for one in data}
    return {data["s" if channel == "candle" else "coin"]}


def is_update(message: Any) -> Any:
    """Return whether a message is not a snapshot."""
    return "isSnapshot" not in message["data"]


def test_all_mids_are_sent_at_once_for_every_instrument(client: Client) -> None:
    received = client.listen(type="allMids")
    first = until(lambda: received)[0]
    assert (first["channel"], set(first["data"])) == ("allMids", {"mids"})
    assert set(first["data"]["mids"]) == COINS
    assert all(isinstance(price, str) and float(price) > 0 for price in first["data"]["mids"].values())


def test_asset_contexts_are_sent_at_once_and_every_second_as_strings(client: Client) -> None:
    received = client.listen(type="activeAssetCtx", coin="BTC")
    until(lambda: len(received) >= 2)
    for message in received:
        context = message["data"]["ctx"]
        assert set(context) == {
            "funding",
            "openInterest",
            "prevDayPx",
            "dayNtlVlm",
            "premium",
            "oraclePx",
            "markPx",
            "midPx",
            "impactPxs",
            "dayBaseVlm",
        }
        bid, ask = map(float, context.pop("impactPxs"))
        assert bid < ask
        assert all(isinstance(one, str) for one in context.values()), context


def test_asset_data_is_sent_at_once_with_the_tradable_amounts(client: Client) -> None:
    received = client.listen(type="activeAssetData", coin="BTC", user=client.address)
    data = until(lambda: received)[0]["data"]
    assert (data["user"], data["coin"]) == (client.address.lower(), "BTC")
    assert data["leverage"] == {"type": "cross", "value": 20}
    assert data["availableToTrade"] == ["100000.0", "100000.0"]


def test_user_events_have_no_snapshot_and_fills_without_a_user(client: Client) -> None:
    client.exchange.market_open("BTC", True, 0.001)
    received = client.listen(type="userEvents", user=client.address)
    until(lambda: client.on("subscriptionResponse"))
    client.catch_up()
    assert received == [], "earlier fills are not sent"
    filled = status(client.exchange.market_close("BTC"))["filled"]
    message = until(lambda: received)[0]
    assert (message["channel"], set(message["data"])) == ("user", {"fills"})
    assert {one["oid"] for one in message["data"]["fills"]} == {filled["oid"]}


def test_a_fill_is_the_same_in_events_fills_and_info(client: Client) -> None:
    events = client.listen(type="userEvents", user=client.address)
    fills = client.listen(type="userFills", user=client.address)
    until(lambda: len(client.on("subscriptionResponse")) == 2)
    client.exchange.market_open("BTC", True, 0.001)
    until(lambda: events and any(map(is_update, fills)))
    streamed = next(filter(is_update, fills))["data"]["fills"]
    assert streamed == events[0]["data"]["fills"]
    # An order may fill in parts: the stream has the oldest first, /info the newest.
    assert streamed == client.info.user_fills(client.address)[::-1]


def test_the_snapshot_of_fills_is_empty_for_a_new_account(client: Client) -> None:
    received = client.listen(type="userFills", user=client.address)
    assert until(lambda: received)[0]["data"] == {
        "isSnapshot": True,
        "user": client.address.lower(),
        "fills": [],
    }


def test_every_subscription_gets_the_fill_history_as_a_snapshot(client: Client) -> None:
    client.exchange.market_open("BTC", True, 0.001)
    client.exchange.market_close("BTC")
    subscription = {"type": "userFills", "user": client.address}
    history = sorted(client.info.user_fills(client.address), key=lambda one: one["tid"])
    assert {one["dir"] for one in history} == {"Open Long", "Close Long"}
    for count in (1, 2):
        number = client.info.subscribe(subscription, lambda _: None)
        until(lambda count=count: len(client.on("userFills")) == count)  # type: ignore[misc]
        snapshot = client.on("userFills")[-1]["data"]
        assert snapshot["isSnapshot"] is True
        assert sorted(snapshot["fills"], key=lambda one: one["tid"]) == history
        client.info.unsubscribe(subscription, number)


def test_the_snapshot_of_fundings_is_empty_before_the_first_hour(client: Client) -> None:
    received = client.listen(type="userFundings", user=client.address)
    assert until(lambda: received)[0]["data"] == {
        "isSnapshot": True,
        "user": client.address.lower(),
        "fundings": [],
    }


def test_the_snapshot_of_the_ledger_is_the_deposit(client: Client) -> None:
    received = client.listen(type="userNonFundingLedgerUpdates", user=client.address)
    data = until(lambda: received)[0]["data"]
    assert data["isSnapshot"] is True
    (row,) = data["nonFundingLedgerUpdates"]
    assert row["delta"] == {"type": "deposit", "usdc": "100000.0"}
    assert client.info.user_non_funding_ledger_updates(client.address, 0) == [row]


@pytest.mark.parametrize("channel", BY_COIN)
def test_subscriptions_to_two_instruments_are_independent(client: Client, channel: str) -> None:
    received = {
        coin: client.listen(type=channel, coin=coin, **MORE.get(channel, {})) for coin in sorted(COINS)
    }
    # The first frame answers the subscription, the next ones follow market events.
    until(lambda: all(len(messages) >= 2 for messages in received.values()))
    for coin, messages in received.items():
        assert {one for message in messages for one in coin_of(channel, message)} == {coin}


def test_unsubscribing_one_instrument_keeps_the_other(client: Client) -> None:
    subscription = {"type": "bbo", "coin": "BTC"}
    removed: list[Any] = []
    number = client.info.subscribe(subscription, removed.append)
    remaining = client.listen(type="bbo", coin="ETH")
    until(lambda: removed and remaining)
    assert client.info.unsubscribe(subscription, number)
    until(lambda: len(client.on("subscriptionResponse")) == 3)
    before = len(remaining)
    until(lambda: len(remaining) >= before + 3)


@pytest.mark.parametrize("channel", [*BY_COIN, "allMids"])
def test_after_unsubscribe_no_market_data_is_sent(client: Client, other: Client, channel: str) -> None:
    coin = {} if channel == "allMids" else {"coin": "BTC"}
    subscription = {"type": channel, **coin, **MORE.get(channel, {})}
    received: list[Any] = []
    number = client.info.subscribe(subscription, received.append)
    until(lambda: received)
    assert client.info.unsubscribe(subscription, number)
    answer = until(lambda: client.on("subscriptionResponse")[1:])[0]["data"]
    assert answer["method"] == "unsubscribe"
    assert subscription.items() <= answer["subscription"].items()
    before = len(client.on(channel))
    other_messages = other.listen(**subscription)
    first = len(until(lambda: other_messages))
    until(lambda: len(other_messages) > first)
    client.catch_up()
    assert len(client.on(channel)) == before, "no frame arrives, with or without a callback"


@pytest.mark.parametrize("kind", ["userFills", "userEvents", "orderUpdates"])
def test_after_unsubscribe_no_account_data_is_sent(client: Client, kind: str) -> None:
    channel = {"userEvents": "user"}.get(kind, kind)
    subscription = {"type": kind, "user": client.address}
    received: list[Any] = []
    number = client.info.subscribe(subscription, received.append)
    until(lambda: client.on("subscriptionResponse"))
    client.exchange.market_open("BTC", True, 0.001)
    until(lambda: [one for one in received if kind != "userFills" or is_update(one)])
    assert client.info.unsubscribe(subscription, number)
    until(lambda: len(client.on("subscriptionResponse")) == 2)
    before = len(client.on(channel))
    client.exchange.market_close("BTC")
    client.catch_up()
    assert len(client.on(channel)) == before


def test_one_of_two_callbacks_of_a_stream_can_be_removed(client: Client) -> None:
    """The SDK subscribes twice, which the venue refuses, and unsubscribes with the last callback."""
    subscription = {"type": "bbo", "coin": "BTC"}
    remaining: list[Any] = []
    removed: list[Any] = []
    number = client.info.subscribe(subscription, removed.append)
    client.info.subscribe(subscription, remaining.append)
    error = until(lambda: client.on("error"))[0]["data"]
    assert error.startswith("Already subscribed: {")
    assert client.info.unsubscribe(subscription, number)
    before, after = len(removed), len(remaining)
    until(lambda: len(remaining) >= after + 3)
    assert len(removed) <= before + 1, "one message may have been in flight"


def test_an_account_gets_no_data_of_another(client: Client, other: Client) -> None:
    names = ("userEvents", "userFills", "orderUpdates")
    received = [client.listen(type=name, user=client.address) for name in names]
    until(lambda: len(client.on("subscriptionResponse")) == len(names))
    other.exchange.market_open("BTC", True, 0.001)
    client.catch_up()
    assert [one for messages in received for one in messages if is_update_or_list(one)] == []


def is_update_or_list(message: Any) -> bool:
    return isinstance(message["data"], list) or is_update(message)
