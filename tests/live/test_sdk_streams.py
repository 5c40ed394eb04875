"""What the venue's own Python client hears: every subscription it has, and the end of each."""

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
    """One more account, on a connection of its own."""
    with closing(Client(*next(venue))) as one:
        yield one


def coin_of(channel: str, message: Any) -> set[str]:
    data = message["data"]
    if channel == "trades":
        return {one["coin"] for one in data}
    return {data["s" if channel == "candle" else "coin"]}


def plain(message: Any) -> Any:
    """What of a message is not a snapshot."""
    return "isSnapshot" not in message["data"]


def test_all_mids_come_at_once_with_every_coin(client: Client) -> None:
    heard = client.listen(type="allMids")
    first = until(lambda: heard)[0]
    assert (first["channel"], set(first["data"])) == ("allMids", {"mids"})
    assert set(first["data"]["mids"]) == COINS
    assert all(isinstance(price, str) and float(price) > 0 for price in first["data"]["mids"].values())


def test_asset_contexts_come_at_once_and_each_second_with_strings_alone(client: Client) -> None:
    heard = client.listen(type="activeAssetCtx", coin="BTC")
    until(lambda: len(heard) >= 2)
    for message in heard:
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


def test_asset_data_come_at_once_with_what_the_account_may_trade(client: Client) -> None:
    heard = client.listen(type="activeAssetData", coin="BTC", user=client.address)
    data = until(lambda: heard)[0]["data"]
    assert (data["user"], data["coin"]) == (client.address.lower(), "BTC")
    assert data["leverage"] == {"type": "cross", "value": 20}
    assert data["availableToTrade"] == ["100000.0", "100000.0"]


def test_user_events_have_no_snapshot_and_then_the_fills_without_a_user(client: Client) -> None:
    client.exchange.market_open("BTC", True, 0.001)
    heard = client.listen(type="userEvents", user=client.address)
    until(lambda: client.on("subscriptionResponse"))
    client.catch_up()
    assert heard == [], "what was before is not told"
    filled = status(client.exchange.market_close("BTC"))["filled"]
    message = until(lambda: heard)[0]
    assert (message["channel"], set(message["data"])) == ("user", {"fills"})
    assert {one["oid"] for one in message["data"]["fills"]} == {filled["oid"]}


def test_a_fill_is_the_same_in_events_in_fills_and_when_asked_for(client: Client) -> None:
    events = client.listen(type="userEvents", user=client.address)
    fills = client.listen(type="userFills", user=client.address)
    until(lambda: len(client.on("subscriptionResponse")) == 2)
    client.exchange.market_open("BTC", True, 0.001)
    until(lambda: events and any(map(plain, fills)))
    told = next(filter(plain, fills))["data"]["fills"]
    assert told == events[0]["data"]["fills"]
    assert told == client.info.user_fills(client.address)


def test_the_snapshot_of_fills_is_empty_for_a_fresh_account(client: Client) -> None:
    heard = client.listen(type="userFills", user=client.address)
    assert until(lambda: heard)[0]["data"] == {
        "isSnapshot": True,
        "user": client.address.lower(),
        "fills": [],
    }


def test_the_snapshot_of_fills_is_the_history_and_comes_with_every_subscription(client: Client) -> None:
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
    heard = client.listen(type="userFundings", user=client.address)
    assert until(lambda: heard)[0]["data"] == {
        "isSnapshot": True,
        "user": client.address.lower(),
        "fundings": [],
    }


def test_the_snapshot_of_the_ledger_is_the_deposit(client: Client) -> None:
    heard = client.listen(type="userNonFundingLedgerUpdates", user=client.address)
    data = until(lambda: heard)[0]["data"]
    assert data["isSnapshot"] is True
    (row,) = data["nonFundingLedgerUpdates"]
    assert row["delta"] == {"type": "deposit", "usdc": "100000.0"}
    assert client.info.user_non_funding_ledger_updates(client.address, 0) == [row]


@pytest.mark.parametrize("channel", BY_COIN)
def test_two_coins_of_one_channel_keep_apart(client: Client, channel: str) -> None:
    heard = {coin: client.listen(type=channel, coin=coin, **MORE.get(channel, {})) for coin in sorted(COINS)}
    # The first frame is the answer to the subscription, the next ones come with the market.
    until(lambda: all(len(messages) >= 2 for messages in heard.values()), 20)
    for coin, messages in heard.items():
        assert {one for message in messages for one in coin_of(channel, message)} == {coin}


def test_the_end_of_one_coin_leaves_the_other(client: Client) -> None:
    subscription = {"type": "bbo", "coin": "BTC"}
    gone: list[Any] = []
    number = client.info.subscribe(subscription, gone.append)
    stays = client.listen(type="bbo", coin="ETH")
    until(lambda: gone and stays)
    assert client.info.unsubscribe(subscription, number)
    until(lambda: len(client.on("subscriptionResponse")) == 3)
    before = len(stays)
    until(lambda: len(stays) >= before + 3)


@pytest.mark.parametrize("channel", [*BY_COIN, "allMids"])
def test_after_unsubscribe_nothing_comes_of_the_market(client: Client, other: Client, channel: str) -> None:
    coin = {} if channel == "allMids" else {"coin": "BTC"}
    subscription = {"type": channel, **coin, **MORE.get(channel, {})}
    heard: list[Any] = []
    number = client.info.subscribe(subscription, heard.append)
    until(lambda: heard)
    assert client.info.unsubscribe(subscription, number)
    answer = until(lambda: client.on("subscriptionResponse")[1:])[0]["data"]
    assert answer["method"] == "unsubscribe"
    assert subscription.items() <= answer["subscription"].items()
    before = len(client.on(channel))
    witness = other.listen(**subscription)
    first = len(until(lambda: witness))
    until(lambda: len(witness) > first, 15)
    client.catch_up()
    assert len(client.on(channel)) == before, "on the wire, whether a callback was there or not"


@pytest.mark.parametrize("kind", ["userFills", "userEvents", "orderUpdates"])
def test_after_unsubscribe_nothing_comes_of_the_account(client: Client, kind: str) -> None:
    channel = {"userEvents": "user"}.get(kind, kind)
    subscription = {"type": kind, "user": client.address}
    heard: list[Any] = []
    number = client.info.subscribe(subscription, heard.append)
    until(lambda: client.on("subscriptionResponse"))
    client.exchange.market_open("BTC", True, 0.001)
    until(lambda: [one for one in heard if kind != "userFills" or plain(one)])
    assert client.info.unsubscribe(subscription, number)
    until(lambda: len(client.on("subscriptionResponse")) == 2)
    before = len(client.on(channel))
    client.exchange.market_close("BTC")
    client.catch_up()
    assert len(client.on(channel)) == before


def test_one_of_two_callbacks_of_a_stream_can_go(client: Client) -> None:
    """The client subscribes twice, which the venue answers with an error, and unsubscribes with the last."""
    subscription = {"type": "bbo", "coin": "BTC"}
    stays: list[Any] = []
    gone: list[Any] = []
    number = client.info.subscribe(subscription, gone.append)
    client.info.subscribe(subscription, stays.append)
    told = until(lambda: client.on("error"))[0]["data"]
    assert told.startswith("Already subscribed: {")
    assert client.info.unsubscribe(subscription, number)
    before, after = len(gone), len(stays)
    until(lambda: len(stays) >= after + 3)
    assert len(gone) <= before + 1, "one message may have been on its way"


def test_an_account_hears_nothing_of_another(client: Client, other: Client) -> None:
    names = ("userEvents", "userFills", "orderUpdates")
    heard = [client.listen(type=name, user=client.address) for name in names]
    until(lambda: len(client.on("subscriptionResponse")) == len(names))
    other.exchange.market_open("BTC", True, 0.001)
    client.catch_up()
    assert [one for messages in heard for one in messages if plain_or_list(one)] == []


def plain_or_list(message: Any) -> bool:
    return isinstance(message["data"], list) or plain(message)
