"""The official SDK manages an account: isolated margin, agents, expiry and batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth_account import Account
from hyperliquid.exchange import Exchange
from hyperliquid.utils.error import ClientError
from hyperliquid.utils.types import Cloid

from adapters.hyperliquid.signing import address_of
from tests.live.client import ALO, GTC, IOC, Accounts, Client, accounts, closing, key, status, trading_as

STRANGER = "0x" + "ab" * 20
NEVER = "Order was never placed, already canceled, or filled. asset=0"
OK = {"status": "ok", "response": {"type": "default"}}


def refused(text: str) -> dict[str, str]:
    return {"status": "err", "response": text}


def statuses(answer: Any) -> list[Any]:
    assert answer["status"] == "ok", answer
    return list(answer["response"]["data"]["statuses"])


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def venue() -> Iterator[Accounts]:
    with accounts() as fresh:
        yield fresh


@pytest.fixture
def client(venue: Accounts) -> Iterator[Client]:
    with closing(Client(*next(venue))) as one:
        yield one


class TestIsolatedMargin:
    def test_the_leverage_of_a_position_is_shown_as_isolated(self, client: Client) -> None:
        assert client.exchange.update_leverage(10, "ETH", is_cross=False) == OK
        assert client.position("ETH") == {}, "no position, no row"
        client.exchange.market_open("ETH", True, 1)
        leverage = client.position("ETH")["leverage"]
        assert (leverage["type"], leverage["value"]) == ("isolated", 10)
        assert float(leverage["rawUsd"]) < 0, "the amount borrowed for it"

    def test_a_cross_one_has_no_raw_usd(self, client: Client) -> None:
        assert client.exchange.update_leverage(7, "ETH") == OK
        client.exchange.market_open("ETH", False, 1)
        assert client.position("ETH")["leverage"] == {"type": "cross", "value": 7}

    def test_at_leverage_ten_a_tenth_of_its_value_leaves_the_cross_account(self, client: Client) -> None:
        client.exchange.update_leverage(10, "ETH", is_cross=False)
        client.exchange.market_open("ETH", True, 1)
        state = client.info.user_state(client.address)
        position = client.position("ETH")
        # A tenth at entry, plus the unrealized profit and loss since.
        assert float(position["marginUsed"]) == pytest.approx(float(position["positionValue"]) / 10, rel=0.05)
        cross = float(state["crossMarginSummary"]["accountValue"])
        whole = float(state["marginSummary"]["accountValue"])
        assert whole - cross == pytest.approx(float(state["marginSummary"]["totalMarginUsed"]), abs=1)
        assert state["crossMarginSummary"]["totalNtlPos"] == "0.0"

    def test_margin_can_be_added_and_removed(self, client: Client) -> None:
        client.exchange.update_leverage(10, "ETH", is_cross=False)
        client.exchange.market_open("ETH", True, 1)
        assert client.exchange.update_isolated_margin(-10, "ETH") == refused(
            "Position does not have sufficient margin for reduction."
        )
        first = float(client.position("ETH")["leverage"]["rawUsd"])
        assert client.exchange.update_isolated_margin(200.5, "ETH") == OK
        assert float(client.position("ETH")["leverage"]["rawUsd"]) == pytest.approx(first + 200.5, abs=1e-6)
        assert client.exchange.update_isolated_margin(-100, "ETH") == OK
        assert float(client.position("ETH")["leverage"]["rawUsd"]) == pytest.approx(first + 100.5, abs=1e-6)

    def test_more_margin_moves_the_liquidation_price_away(self, client: Client) -> None:
        client.exchange.update_leverage(10, "ETH", is_cross=False)
        client.exchange.market_open("ETH", True, 1)
        before = float(client.position("ETH")["liquidationPx"])
        client.exchange.update_isolated_margin(300, "ETH")
        # price - side * margin / size / (1 - 1 / 2L): slightly more than the added margin per ETH.
        assert 295 < before - float(client.position("ETH")["liquidationPx"]) < 310

    def test_an_open_position_cannot_change_to_cross(self, client: Client) -> None:
        client.exchange.update_leverage(10, "ETH", is_cross=False)
        client.exchange.market_open("ETH", True, 1)
        switch = client.exchange.update_leverage(10, "ETH", is_cross=True)
        assert switch == refused("Cannot switch leverage type with open position.")

    @pytest.mark.parametrize(
        ("isolated", "opened", "text"),
        [
            (True, False, "Cannot update margin for empty position."),
            (False, True, "Position does not use isolated margin."),
        ],
    )
    def test_margin_can_be_added_to_isolated_positions_only(
        self, client: Client, isolated: bool, opened: bool, text: str
    ) -> None:
        client.exchange.update_leverage(10, "ETH", is_cross=not isolated)
        if opened:
            client.exchange.market_open("ETH", True, 1)
        assert client.exchange.update_isolated_margin(10, "ETH") == refused(text)

    def test_its_margin_is_returned_when_it_closes(self, client: Client) -> None:
        client.exchange.update_leverage(10, "ETH", is_cross=False)
        client.exchange.market_open("ETH", True, 1)
        client.exchange.market_close("ETH")
        state = client.info.user_state(client.address)
        assert state["assetPositions"] == []
        assert state["marginSummary"]["totalMarginUsed"] == "0.0"
        assert state["crossMarginSummary"] == state["marginSummary"]
        assert state["withdrawable"] == state["marginSummary"]["accountValue"]


class TestAgents:
    def test_an_approved_agent_trades_for_its_master(self, client: Client) -> None:
        answer, agent_key = client.exchange.approve_agent()
        assert answer == OK
        with trading_as(client.base_url, agent_key, account_address=client.address) as agent:
            resting = status(agent.order("BTC", True, 0.001, client.low(), GTC))["resting"]
            assert [one["oid"] for one in client.info.open_orders(client.address)] == [resting["oid"]]
            assert status(agent.cancel("BTC", resting["oid"])) == "success"
            assert "filled" in status(agent.market_open("BTC", True, 0.001))
            assert client.size() == 0.001
            assert "filled" in status(agent.market_close("BTC"))
        assert client.size() == 0

    def test_an_unapproved_agent_is_refused_with_the_text_of_the_venue(self, client: Client) -> None:
        unapproved = key(10**9)
        with trading_as(client.base_url, unapproved, account_address=client.address) as agent:
            answer = agent.order("BTC", True, 0.001, client.low(), GTC)
        assert answer == refused(f"User or API Wallet {address_of(unapproved)} does not exist.")
        assert client.info.open_orders(client.address) == []

    def test_an_agent_has_a_role_and_no_account(self, client: Client) -> None:
        _, agent_key = client.exchange.approve_agent()
        address = Account.from_key(agent_key).address
        master = {"user": client.address.lower()}
        assert client.info.user_role(address) == {"role": "agent", "data": master}
        client.exchange.market_open("BTC", True, 0.001)
        assert client.info.user_fills(address) == []
        assert client.info.open_orders(address) == []
        assert client.info.user_state(address)["assetPositions"] == []
        assert client.info.user_state(address)["marginSummary"]["accountValue"] == "0.0"

    def test_only_named_agents_are_listed(self, client: Client) -> None:
        client.exchange.approve_agent()
        answer, agent_key = client.exchange.approve_agent("hand")
        assert answer == OK
        (row,) = client.info.extra_agents(client.address)
        assert (row["name"], row["address"]) == ("hand", address_of(agent_key))
        assert now_ms() < row["validUntil"] <= now_ms() + 180 * 86_400_000

    def test_a_new_unnamed_agent_replaces_the_previous_one(self, client: Client) -> None:
        _, before = client.exchange.approve_agent()
        _, after = client.exchange.approve_agent()
        with (
            trading_as(client.base_url, before) as replaced,
            trading_as(client.base_url, after) as agent,
        ):
            text = f"User or API Wallet {address_of(before)} does not exist."
            assert replaced.order("BTC", True, 0.001, client.low(), GTC) == refused(text)
            assert "resting" in status(agent.order("BTC", True, 0.001, client.low(), GTC))

    def test_a_fourth_named_agent_is_refused(self, client: Client) -> None:
        for name in ("one", "two", "three"):
            assert client.exchange.approve_agent(name)[0] == OK
        answer, agent_key = client.exchange.approve_agent("four")
        assert answer["status"] == "err"
        assert client.info.user_role(Account.from_key(agent_key).address) == {"role": "missing"}

    def test_an_agent_cannot_approve_another(self, client: Client) -> None:
        _, agent_key = client.exchange.approve_agent()
        with trading_as(client.base_url, agent_key) as agent:
            answer, other = agent.approve_agent()
        assert answer["status"] == "err"
        assert client.info.user_role(Account.from_key(other).address) == {"role": "missing"}

    def test_agent_and_master_have_separate_nonces(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, agent_key = client.exchange.approve_agent()
        at = now_ms() + 1000
        monkeypatch.setattr("hyperliquid.exchange.get_timestamp_ms", lambda: at)
        with trading_as(client.base_url, agent_key) as agent:
            assert client.exchange.update_leverage(5, "BTC") == OK
            assert agent.update_leverage(6, "BTC") == OK
            assert agent.update_leverage(7, "BTC")["status"] == "err", "this nonce is used"


class TestForAnother:
    def test_an_unregistered_vault_is_refused_without_effect(self, client: Client) -> None:
        with trading_as(client.base_url, client.wallet.key.hex(), vault_address=STRANGER) as exchange:
            answer = exchange.order("BTC", True, 0.001, client.low(), GTC)
        assert answer == refused(f"Vault not registered: {STRANGER}")
        assert client.info.open_orders(client.address) == []

    def test_another_account_is_not_a_vault(self, client: Client, venue: Accounts) -> None:
        other = address_of(next(venue)[1])
        with trading_as(client.base_url, client.wallet.key.hex(), vault_address=other) as exchange:
            answer = exchange.order("BTC", True, 0.001, client.low(), GTC)
        assert answer == refused(f"Vault not registered: {other}")
        assert client.info.open_orders(other) == []


class TestExpiry:
    def test_an_action_that_has_expired_is_refused(self, client: Client) -> None:
        client.exchange.set_expires_after(now_ms() - 1000)
        answer = client.exchange.order("BTC", True, 0.001, client.low(), GTC)
        assert answer == refused("Action already expired")
        assert client.info.open_orders(client.address) == []

    def test_an_expired_action_costs_five_times_the_budget(self, client: Client) -> None:
        before = client.info.user_rate_limit(client.address)["nRequestsUsed"]
        client.exchange.set_expires_after(now_ms() - 1000)
        client.exchange.bulk_orders([client.order(client.low()), client.order(client.low())])
        assert client.info.user_rate_limit(client.address)["nRequestsUsed"] == before + 10

    def test_an_action_before_its_expiry_is_executed(self, client: Client) -> None:
        client.exchange.set_expires_after(now_ms() + 60_000)
        assert "resting" in status(client.exchange.order("BTC", True, 0.001, client.low(), GTC))
        assert client.exchange.update_leverage(5, "BTC") == OK

    def test_a_user_signed_action_with_an_expiry_is_refused(self, client: Client) -> None:
        client.exchange.set_expires_after(now_ms() + 60_000)
        answer, agent_key = client.exchange.approve_agent()
        assert answer["status"] == "err"
        assert client.info.user_role(Account.from_key(agent_key).address) == {"role": "missing"}
        client.exchange.set_expires_after(None)
        assert client.exchange.approve_agent()[0] == OK


class TestBatches:
    def test_cancels_are_answered_individually_in_order(self, client: Client) -> None:
        low = client.low()
        placed = statuses(client.exchange.bulk_orders([client.order(low), client.order(low - 1)]))
        first, second = (one["resting"]["oid"] for one in placed)
        answer = client.exchange.bulk_cancel(
            [{"coin": "BTC", "oid": oid} for oid in (second, 1, first, first)]
        )
        assert statuses(answer) == ["success", {"error": NEVER}, "success", {"error": NEVER}]
        assert client.info.open_orders(client.address) == []

    def test_cancels_by_client_order_id_are_answered_individually_in_order(self, client: Client) -> None:
        low, mine = client.low(), [client.cloid() for _ in range(3)]
        client.exchange.bulk_orders([client.order(low, cloid=one) for one in mine])
        cloids = [mine[2], Cloid.from_int(2**127), mine[0]]
        answer = client.exchange.bulk_cancel_by_cloid([{"coin": "BTC", "cloid": one} for one in cloids])
        assert statuses(answer) == ["success", {"error": NEVER}, "success"]
        assert answer["response"]["type"] == "cancel"
        left = client.info.open_orders(client.address)
        assert [one["cloid"] for one in left] == [mine[1].to_raw()]

    def test_a_cancel_with_another_instrument_fails(self, client: Client) -> None:
        oid = status(client.exchange.order("BTC", True, 0.001, client.low(), GTC))["resting"]["oid"]
        text = "Order was never placed, already canceled, or filled. asset=1"
        assert status(client.exchange.cancel("ETH", oid)) == {"error": text}
        assert len(client.info.open_orders(client.address)) == 1

    @pytest.mark.parametrize(("count", "whole"), [(200, False), (201, True)])
    def test_more_than_two_hundred_cancels_are_refused(self, client: Client, count: int, whole: bool) -> None:
        answer = client.exchange.bulk_cancel([{"coin": "BTC", "oid": oid} for oid in range(1, count + 1)])
        if whole:
            assert answer == refused("Signed action over weight limit of 200.")
        else:
            assert statuses(answer) == [{"error": NEVER}] * count

    def test_modifications_give_new_ids_and_keep_client_order_ids(self, client: Client) -> None:
        low, mine = client.low(), [client.cloid(), client.cloid()]
        placed = statuses(client.exchange.bulk_orders([client.order(low, cloid=one) for one in mine]))
        before = [one["resting"]["oid"] for one in placed]
        answer = client.exchange.bulk_modify_orders_new(
            [
                {"oid": before[0], "order": client.order(low - 10, cloid=mine[0])},
                {"oid": mine[1], "order": client.order(low - 20, sz=0.002, cloid=mine[1])},
            ]
        )
        after = [one["resting"] for one in statuses(answer)]
        assert [one["cloid"] for one in after] == [one.to_raw() for one in mine]
        assert not {one["oid"] for one in after} & set(before)
        shown = {
            one["oid"]: (float(one["limitPx"]), one["sz"]) for one in client.info.open_orders(client.address)
        }
        assert shown == {after[0]["oid"]: (low - 10, "0.001"), after[1]["oid"]: (low - 20, "0.002")}
        assert [client.info.query_order_by_oid(client.address, oid)["order"]["status"] for oid in before] == [
            "canceled",
            "canceled",
        ]

    def test_a_failed_modification_does_not_affect_others(self, client: Client) -> None:
        low = client.low()
        oid = status(client.exchange.order("BTC", True, 0.001, low, GTC))["resting"]["oid"]
        change = client.order(low - 10)
        answer = client.exchange.bulk_modify_orders_new(
            [{"oid": 1, "order": change}, {"oid": oid, "order": change}]
        )
        first, second = statuses(answer)
        assert first["error"].startswith("Cannot modify canceled or filled order")
        assert "resting" in second

    @pytest.mark.parametrize("kind", [IOC, ALO, GTC])
    def test_a_modified_order_can_only_rest(self, client: Client, kind: Any) -> None:
        """An Ioc order, or one that would trade at once, is refused; a Gtc order becomes Alo."""
        low, high = client.low(), round(client.mid() * 1.03)
        oid = status(client.exchange.order("BTC", True, 0.001, low, GTC))["resting"]["oid"]
        changed = status(client.exchange.modify_order(oid, "BTC", True, 0.001, low - 10, kind))
        if kind is IOC:
            assert "error" in changed
        else:
            assert client.info.frontend_open_orders(client.address)[0]["tif"] == "Alo"
            oid = changed["resting"]["oid"]
        assert "error" in status(client.exchange.modify_order(oid, "BTC", True, 0.001, high, kind))
        assert client.size() == 0

    def test_closing_a_part_leaves_the_rest(self, client: Client) -> None:
        client.exchange.market_open("BTC", False, 0.005)
        filled = status(client.exchange.market_close("BTC", sz=0.002))["filled"]
        assert filled["totalSz"] == "0.002"
        assert client.position()["szi"] == "-0.003"
        fill = client.info.user_fills(client.address)[0]
        assert (fill["dir"], fill["side"], fill["oid"]) == ("Close Short", "B", filled["oid"])

    def test_closing_more_than_the_position_does_not_reverse_it(self, client: Client) -> None:
        client.exchange.market_open("BTC", True, 0.001)
        assert status(client.exchange.market_close("BTC", sz=0.01))["filled"]["totalSz"] == "0.001"
        assert client.size() == 0

    def test_closing_less_than_ten_dollars_is_accepted(self, client: Client) -> None:
        client.exchange.market_open("BTC", True, 0.001)
        assert "filled" in status(client.exchange.market_close("BTC", sz=0.00002))


UNSUPPORTED: dict[str, Callable[[Exchange], Any]] = {
    "setReferrer": lambda exchange: exchange.set_referrer("CODE"),
    "createSubAccount": lambda exchange: exchange.create_sub_account("sub"),
    "subAccountTransfer": lambda exchange: exchange.sub_account_transfer(STRANGER, True, 1),
    "vaultTransfer": lambda exchange: exchange.vault_usd_transfer(STRANGER, True, 1),
    "usdClassTransfer": lambda exchange: exchange.usd_class_transfer(1, True),
    "spotSend": lambda exchange: exchange.spot_transfer(1, STRANGER, "PURR"),
    "sendAsset": lambda exchange: exchange.send_asset(STRANGER, "", "spot", "USDC", 1),
    "tokenDelegate": lambda exchange: exchange.token_delegate(STRANGER, 1, False),
    "approveBuilderFee": lambda exchange: exchange.approve_builder_fee(STRANGER, "0.001%"),
    "evmUserModify": lambda exchange: exchange.use_big_blocks(True),
    "CSignerAction": lambda exchange: exchange.c_signer_jail_self(),
    "spotDeploy": lambda exchange: exchange.spot_deploy_register_spot(1, 0),
}


@pytest.mark.parametrize("action", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_an_unsupported_action_is_an_error(client: Client, action: Callable[[Exchange], Any]) -> None:
    with pytest.raises(ClientError) as error:
        action(client.exchange)
    assert (error.value.status_code, error.value.error_message) == (
        422,
        "Failed to deserialize the JSON body into the target type",
    )
    assert client.info.user_state(client.address)["withdrawable"] == "100000.0", "it had no effect"


def test_money_is_sent_and_withdrawn(client: Client) -> None:
    other = address_of(key(60))
    assert client.exchange.usd_transfer(1.5, other) == OK
    assert client.exchange.withdraw_from_bridge(10, STRANGER) == OK
    assert client.info.user_state(client.address)["withdrawable"] == "99988.5"
    deltas = [row["delta"] for row in client.info.user_non_funding_ledger_updates(client.address, 0)]
    assert [one["type"] for one in deltas] == ["deposit", "internalTransfer", "withdraw"]
    assert (deltas[1]["usdc"], deltas[1]["destination"]) == ("1.5", other)
    assert (deltas[2]["usdc"], deltas[2]["fee"]) == ("9.0", "1.0")


def test_a_noop_uses_its_nonce_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    nonce = now_ms() + 1000
    assert client.exchange.noop(nonce) == OK
    monkeypatch.setattr("hyperliquid.exchange.get_timestamp_ms", lambda: nonce)
    answer = client.exchange.order("BTC", True, 0.001, client.low(), GTC)
    assert answer == refused(f"Invalid nonce: duplicate nonce {nonce}")
    assert client.info.open_orders(client.address) == []
