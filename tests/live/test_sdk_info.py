"""The official SDK reads an account's history: fills, orders, request budget and funding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hyperliquid.info import Info
from hyperliquid.utils.error import ClientError
from hyperliquid.utils.types import Cloid

from adapters.hyperliquid.signing import address_of
from tests.commands.kit import sandbox
from tests.live.client import ALO, GTC, IOC, Accounts, Client, accounts, closing, key, status, until

KEY = key(1)
HOUR_MS = 3_600_000
SPEED = 1200
"""An hour of the sandbox takes three seconds."""

RATE = "0.0000125"


@pytest.fixture(scope="module")
def venue() -> Iterator[Accounts]:
    with accounts() as fresh:
        yield fresh


@pytest.fixture
def client(venue: Accounts) -> Iterator[Client]:
    with closing(Client(*next(venue))) as one:
        yield one


@pytest.fixture
def fast_client() -> Iterator[Client]:
    """An account on a fast sandbox that has already played more than two hours."""
    options = (
        "--account",
        f"{address_of(KEY)}:100000",
        "--instruments",
        "BTC",
        "--rate-limit",
        "off",
        "--maker",
    )
    with (
        sandbox(*options, "--history", "7800", "--speed", SPEED) as url,
        closing(Client(url, KEY)) as one,
    ):
        yield one


class TestFills:
    def test_fills_are_newest_first_and_by_time_oldest_first(self, client: Client) -> None:
        opened = status(client.exchange.market_open("BTC", True, 0.001))["filled"]["oid"]
        closed = status(client.exchange.market_close("BTC"))["filled"]["oid"]
        assert list(dict.fromkeys(one["oid"] for one in client.info.user_fills(client.address))) == [
            closed,
            opened,
        ]
        by_time = client.info.user_fills_by_time(client.address, 0)
        assert list(dict.fromkeys(one["oid"] for one in by_time)) == [opened, closed]

    def test_both_ends_of_a_range_are_inclusive(self, client: Client) -> None:
        client.exchange.market_open("BTC", True, 0.001)
        fills = client.info.user_fills(client.address)
        at = fills[0]["time"]
        between = lambda start, end: client.info.user_fills_by_time(client.address, start, end)  # noqa: E731
        assert between(at, at) == fills
        assert between(at + 1, at + 1000) == []
        assert between(0, at - 1) == []

    def test_start_positions_follow_each_other(self, client: Client) -> None:
        for size in (0.001, 0.002, 0.003):
            client.exchange.market_open("BTC", False, size)
        held = 0.0
        for fill in client.info.user_fills_by_time(client.address, 0):
            assert float(fill["startPosition"]) == pytest.approx(held, abs=1e-9)
            held -= float(fill["sz"])
        assert held == pytest.approx(client.size()) == pytest.approx(-0.006)


class TestOrders:
    def test_history_has_every_order_with_its_final_status(self, client: Client) -> None:
        low, high = client.low(), round(client.mid() * 1.03)
        filled = status(client.exchange.market_open("BTC", True, 0.001))["filled"]["oid"]
        canceled = status(client.exchange.order("BTC", True, 0.001, low, GTC))["resting"]["oid"]
        client.exchange.cancel("BTC", canceled)
        opened = status(client.exchange.order("BTC", True, 0.001, low, GTC))["resting"]["oid"]
        client.exchange.order("BTC", True, 0.001, high, ALO)
        client.exchange.order("BTC", True, 0.001, low, IOC)
        history = client.info.historical_orders(client.address)
        ends = {one["order"]["oid"]: one["status"] for one in history}
        assert (ends.pop(filled), ends.pop(canceled), ends.pop(opened)) == ("filled", "canceled", "open")
        assert sorted(ends.values()) == ["badAloPxRejected", "iocCancelRejected"]
        for one in history:
            assert {"order", "status", "statusTimestamp"} == set(one)
            assert {"tif", "orderType", "isTrigger", "triggerPx", "children", "cloid"} <= set(one["order"])

    def test_an_order_is_found_by_its_id_while_open_and_after_its_end(self, client: Client) -> None:
        oid = status(client.exchange.order("BTC", True, 0.001, client.low(), GTC))["resting"]["oid"]
        answer = client.info.query_order_by_oid(client.address, oid)
        assert (answer["status"], answer["order"]["status"]) == ("order", "open")
        assert answer["order"]["order"]["oid"] == oid
        client.exchange.cancel("BTC", oid)
        assert client.info.query_order_by_oid(client.address, oid)["order"]["status"] == "canceled"

    def test_an_order_is_the_same_by_either_id(self, client: Client) -> None:
        mine = client.cloid()
        oid = status(client.exchange.order("BTC", True, 0.001, client.low(), GTC, cloid=mine))["resting"][
            "oid"
        ]
        by_oid = client.info.query_order_by_oid(client.address, oid)
        assert by_oid == client.info.query_order_by_cloid(client.address, mine)
        assert by_oid["order"]["order"]["cloid"] == mine.to_raw()

    def test_orders_of_other_accounts_are_unknown(self, client: Client) -> None:
        oid = status(client.exchange.order("BTC", True, 0.001, client.low(), GTC))["resting"]["oid"]
        unknown = {"status": "unknownOid"}
        assert client.info.query_order_by_oid("0x" + "ab" * 20, oid) == unknown
        assert client.info.query_order_by_oid(client.address, 1) == unknown
        assert client.info.query_order_by_cloid(client.address, Cloid.from_int(2**100)) == unknown


class TestBudget:
    def used(self, client: Client) -> int:
        return int(client.info.user_rate_limit(client.address)["nRequestsUsed"])

    def test_every_entry_counts_including_failed_ones(self, client: Client) -> None:
        before = self.used(client)
        client.exchange.bulk_orders([client.order(client.low()), client.order(client.low(), sz=0.00001)])
        client.exchange.bulk_cancel([{"coin": "BTC", "oid": oid} for oid in (1, 2, 3)])
        assert self.used(client) == before + 5

    def test_an_action_refused_as_a_whole_is_not_counted(self, client: Client) -> None:
        before = self.used(client)
        assert client.exchange.update_leverage(1000, "BTC")["status"] == "err"
        assert self.used(client) == before

    def test_it_grows_by_one_request_for_each_dollar_traded(self, client: Client) -> None:
        client.exchange.market_open("BTC", True, 0.001)
        row = client.info.user_rate_limit(client.address)
        fills = client.info.user_fills(client.address)
        traded = sum(float(one["px"]) * float(one["sz"]) for one in fills)
        assert float(row["cumVlm"]) == pytest.approx(traded)
        assert row["nRequestsCap"] == 10_000 + int(float(row["cumVlm"]))
        assert row["nRequestsSurplus"] == 0


class TestFunding:
    def test_funding_history_has_one_row_per_hour_oldest_first(self, fast_client: Client) -> None:
        rows = fast_client.info.funding_history("BTC", 0)
        assert len(rows) >= 2
        assert all(set(one) == {"coin", "fundingRate", "premium", "time"} for one in rows)
        times = [one["time"] for one in rows]
        assert all(after - before == HOUR_MS for before, after in pairwise(times))
        assert [one["time"] // HOUR_MS * HOUR_MS for one in rows] == times
        assert fast_client.info.funding_history("BTC", times[0], times[0]) == rows[:1]

    def test_a_payment_is_reported_on_both_channels_and_in_the_history(self, fast_client: Client) -> None:
        user = fast_client.address
        events = fast_client.listen(type="userEvents", user=user)
        fundings = fast_client.listen(type="userFundings", user=user)
        until(lambda: fundings)
        assert fundings[0]["data"]["isSnapshot"] is True
        fast_client.exchange.market_open("BTC", True, 0.1)
        event = until(lambda: [one for one in events if "funding" in one["data"]])[0]
        row = event["data"]["funding"]
        assert set(event["data"]) == {"funding"}
        assert (row["coin"], row["szi"], row["fundingRate"]) == ("BTC", "0.1", RATE)
        assert row["time"] % HOUR_MS < 1000
        assert float(row["usdc"]) == pytest.approx(-0.1 * fast_client.mid() * float(RATE), rel=0.02), (
            "longs pay"
        )
        later = until(lambda: [one["data"] for one in fundings if "isSnapshot" not in one["data"]])[0]
        assert later == {"user": user.lower(), "fundings": [row]}
        paid = fast_client.info.user_funding_history(user, row["time"], row["time"])
        delta = {name: value for name, value in row.items() if name != "time"}
        assert paid == [{"time": row["time"], "hash": "0x" + "0" * 64, "delta": {"type": "funding", **delta}}]
        counted = until(lambda: fast_client.position()["cumFunding"])
        assert float(counted["sinceOpen"]) >= -float(row["usdc"]), "payments add up"

    def test_an_account_without_positions_pays_nothing(self, client: Client) -> None:
        assert client.info.user_funding_history(client.address, 0) == []


def test_there_is_no_spot(client: Client) -> None:
    assert client.info.spot_user_state(client.address) == {"balances": []}
    meta, contexts = client.info.spot_meta_and_asset_ctxs()
    assert (meta["universe"], contexts) == ([], [])


WITHOUT: dict[str, tuple[Callable[[Info, str], Any], Any]] = {
    "userVaultEquities": (Info.user_vault_equities, []),
    "userTwapSliceFills": (Info.user_twap_slice_fills, []),
    "delegations": (Info.user_staking_delegations, []),
    "delegatorRewards": (Info.user_staking_rewards, []),
    "subAccounts": (Info.query_sub_accounts, []),
    "userToMultiSigSigners": (Info.query_user_to_multi_sig_signers, None),
    "userAbstraction": (Info.query_user_abstraction_state, "default"),
}


@pytest.mark.parametrize(("send", "expected"), WITHOUT.values(), ids=WITHOUT.keys())
def test_what_an_account_does_not_have_is_answered_empty(
    client: Client, send: Callable[[Info, str], Any], expected: Any
) -> None:
    assert send(client.info, client.address) == expected


def test_a_portfolio_begins_with_the_deposit(client: Client) -> None:
    periods = dict(client.info.portfolio(client.address))
    assert float(periods["allTime"]["accountValueHistory"][0][1]) > 0
    assert periods["allTime"]["pnlHistory"][0][1] == "0.0"
    assert client.info.query_referral_state(client.address)["referredBy"] is None
    assert client.info.user_staking_summary(client.address)["nPendingWithdrawals"] == 0


def test_deployments_are_refused(client: Client) -> None:
    with pytest.raises(ClientError) as error:
        client.info.query_spot_deploy_auction_status(client.address)
    assert error.value.status_code == 422
