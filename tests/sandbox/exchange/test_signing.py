"""Who may ask: signatures over the venue's own rebuild, nonces, agents, expiry, budgets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from hyperliquid.utils.signing import sign_agent

from adapters.sandbox.exchange.money import DOLLAR
from adapters.sandbox.exchange.refusals import BadRequest
from adapters.sandbox.info import Info
from engine.errors import UsageError
from tests.sandbox.exchange.kit import (
    ALICE,
    ALICE_KEY,
    BOB,
    START_MS,
    STRANGER_KEY,
    Floor,
    address_of,
    oid_of,
    orders,
    signed,
    statuses,
    trigger,
    wire,
)

DAY_MS = 86_400_000
NOOP = {"type": "noop"}
OK = {"status": "ok", "response": {"type": "default"}}


def refused(answer: dict[str, Any]) -> str:
    """The text of an answer, which must be a refusal."""
    assert answer["status"] == "err", answer
    text: str = answer["response"]
    return text


def test_an_unknown_signer_reads_its_own_address() -> None:
    text = f"User or API Wallet {address_of(STRANGER_KEY)} does not exist."
    assert refused(Floor().act(NOOP, STRANGER_KEY)) == text


def test_an_account_without_money_must_deposit() -> None:
    floor = Floor([(ALICE, "0")])
    assert refused(floor.act(NOOP)) == f"Must deposit before performing actions. User: {ALICE}"


@pytest.mark.parametrize("mainnet", [False, True])
def test_a_signature_for_the_other_network_is_some_strangers(mainnet: bool) -> None:
    floor = Floor(mainnet=mainnet)
    assert floor.act(NOOP, mainnet=mainnet) == OK
    assert "does not exist" in refused(floor.act(NOOP, mainnet=not mainnet))


def test_r_and_s_may_lack_their_leading_zeros() -> None:
    floor = Floor()
    for nonce in range(START_MS, START_MS + 10_000):
        body = signed(NOOP, nonce)
        if body["signature"]["r"].startswith("0x0"):
            break
    body["signature"] = {**body["signature"], "r": hex(int(body["signature"]["r"], 16))}
    assert len(body["signature"]["r"]) < 66
    assert floor.send(body) == OK


class TestTheRebuild:
    """The venue recovers over its own rebuild, so what it would not write itself recovers to nobody."""

    @pytest.mark.parametrize(
        "action",
        [
            orders(wire("84000.0", "0.1")),
            orders(wire("84000", "0.10")),
            orders(wire("84000", "0.1", cloid="0x" + "AB" * 16)),
            orders(wire("84000", "0.1", cloid="ab" * 16)),
            orders(wire("84000", "0.1", kind=trigger("84000.0", "sl"))),
            {"type": "cancel", "cancels": [{"a": 0, "o": 1}], "f": False},
            {"type": "cancel", "cancels": [{"o": 1, "a": 0}]},
            {"type": "scheduleCancel", "time": None},
            {"type": "noop", "more": 1},
            {**orders(wire("84000", "0.1")), "builder": {"b": "0x" + "AB" * 20, "f": 1}},
        ],
    )
    def test_other_spellings_recover_to_an_address_nobody_knows(self, action: dict[str, Any]) -> None:
        assert "does not exist" in refused(Floor().act(action))

    @pytest.mark.parametrize(
        "action",
        [
            orders(wire("84000", "0.1", cloid="0x" + "ab" * 16)),
            {"type": "cancel", "cancels": [{"a": 0, "o": 1}], "f": True},
            {"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": "0x" + "ab" * 16}], "f": True},
            {"type": "cancel", "cancels": [{"a": 0, "o": 566_617_964_508}]},
            {"type": "batchModify", "modifies": [{"oid": 1, "order": wire("84000", "0.1")}], "a": True},
        ],
    )
    def test_the_venues_own_spelling_is_recovered(self, action: dict[str, Any]) -> None:
        assert Floor().act(action)["status"] == "ok"

    def test_member_order_in_the_body_does_not_matter_only_in_what_was_signed(self) -> None:
        floor = Floor()
        body = signed({"type": "cancel", "cancels": [{"a": 0, "o": 1}]}, START_MS)
        body["action"] = {"cancels": [{"o": 1, "a": 0}], "type": "cancel"}
        assert floor.send(body)["status"] == "ok"


class TestBodies:
    """What is no action at all."""

    @pytest.mark.parametrize(
        "change",
        [
            {"action": {"type": "nope"}},
            {"action": {"type": "order", "orders": [{**wire("1", "1"), "t": {}}], "grouping": "na"}},
            {
                "action": orders({**wire("1", "1"), "t": {"limit": {"tif": "Gtc"}, **trigger("1", "sl")}}),
            },
            {"action": orders(wire("-1", "1"))},
            {"action": orders(wire("NaN", "1"))},
            {"action": orders(wire("1e3", "1"))},
            {"action": orders(wire("1", "1", cloid="0x1"))},
            {"action": orders(wire("1", "1", asset=-1))},
            {"action": orders(wire("1", "1"), grouping="nope")},
            {"action": {"type": "cancel", "cancels": [{"a": 0, "o": 2**64}]}},
            {"nonce": -1},
            {"nonce": 2**64},
            {"nonce": "1"},
            {"expiresAfter": -1},
            {"vaultAddress": "0x12"},
            {"signature": {"r": "0x1", "s": "zz", "v": 27}},
            {"signature": None},
        ],
    )
    def test_what_cannot_be_deserialized_is_422_and_touches_nothing(self, change: dict[str, Any]) -> None:
        floor = Floor()
        with pytest.raises(BadRequest, match="Failed to deserialize the JSON body") as caught:
            floor.send({**signed(NOOP, START_MS), **change})
        assert caught.value.status == 422
        assert floor.alice.requests == 0

    def test_what_is_no_json_is_400(self) -> None:
        with pytest.raises(BadRequest, match="Failed to parse the request body as JSON") as caught:
            Floor().desk.act(b'{"action":', START_MS)
        assert caught.value.status == 400

    def test_a_signature_that_is_none_is_refused(self) -> None:
        body = {**signed(NOOP, START_MS), "signature": {"r": "0x0", "s": "0x0", "v": 5}}
        assert refused(Floor().send(body)) == "Unable to recover signer"


class TestNonces:
    """The hundred highest nonces of each signer, within a window of the venue's time."""

    def test_o15_a_used_nonce_is_refused_and_the_action_is_not_done_again(self) -> None:
        floor = Floor()
        body = signed(orders(wire("84000", "0.1")), START_MS + 5)
        assert floor.send(body)["status"] == "ok"
        assert refused(floor.send(body)) == f"Invalid nonce: duplicate nonce {START_MS + 5}"
        assert len(floor.alice.orders) == 1

    def test_o15_they_need_not_come_in_order_but_must_be_above_the_hundredth(self) -> None:
        floor = Floor()
        for nonce in range(START_MS + 10, START_MS + 110):
            assert floor.send(signed(NOOP, nonce)) == OK
        assert "too low" in refused(floor.send(signed(NOOP, START_MS + 9)))
        assert floor.send(signed(NOOP, START_MS + 200)) == OK
        assert floor.send(signed(NOOP, START_MS + 150)) == OK
        assert "too low" in refused(floor.send(signed(NOOP, START_MS + 11)))

    def test_o15_a_high_one_does_not_shut_out_lower_ones_before_there_are_a_hundred(self) -> None:
        floor = Floor()
        for nonce in (START_MS + 5_000, *range(START_MS + 10, START_MS + 110)):
            assert floor.send(signed(NOOP, nonce)) == OK
        assert "too low" in refused(floor.send(signed(NOOP, START_MS + 9)))

    @pytest.mark.parametrize(("offset", "good"), [(-2, False), (-1.9, True), (0.9, True), (1, False)])
    def test_o15_the_window_is_two_days_back_and_one_ahead(self, offset: float, good: bool) -> None:
        floor = Floor()
        nonce = floor.now_ms + int(offset * DAY_MS)
        assert (floor.send(signed(NOOP, nonce)) == OK) == good

    def test_o11_an_expired_action_is_refused_costs_five_and_leaves_the_nonce(self) -> None:
        floor = Floor()
        body = signed(orders(wire("84000", "0.1")), START_MS, expires=floor.now_ms - 1)
        assert refused(floor.send(body)) == "Action already expired"
        assert floor.alice.requests == 5
        assert not floor.alice.orders
        assert floor.send(signed(NOOP, START_MS, expires=floor.now_ms)) == OK

    def test_an_unknown_vault_is_refused(self) -> None:
        vault = "0x" + "dd" * 20
        assert refused(Floor().act(NOOP, vault=vault)) == f"Vault not registered: {vault}"


class TestAgents:
    """`approveAgent`, signed as the venue's own client signs it."""

    def approve(
        self, floor: Floor, address: str, name: str | None = "bot", key: str = ALICE_KEY, **unsigned: Any
    ) -> dict[str, Any]:
        nonce = floor.nonce()
        action = {"type": "approveAgent", "agentAddress": address, "agentName": name or "", "nonce": nonce}
        signature = sign_agent(Account.from_key(key), action, False)
        if name is None:
            del action["agentName"]
        return floor.send({"action": action, "nonce": nonce, "signature": signature, **unsigned})

    @pytest.mark.parametrize(
        "unsigned", [{"vaultAddress": ALICE}, {"vaultAddress": BOB}, {"expiresAfter": START_MS + DAY_MS}]
    )
    def test_an_approval_has_neither_vault_nor_expiry_which_its_signature_does_not_cover(
        self, unsigned: dict[str, Any]
    ) -> None:
        floor = Floor()
        text = "User-signed actions take neither vaultAddress nor expiresAfter."
        assert refused(self.approve(floor, address_of(STRANGER_KEY), **unsigned)) == text
        assert not floor.alice.agents

    def test_an_agent_trades_for_its_master_with_nonces_of_its_own(self) -> None:
        floor = Floor()
        agent = address_of(STRANGER_KEY)
        assert self.approve(floor, agent) == OK
        body = signed(orders(wire("84200", "0.1")), START_MS, STRANGER_KEY)
        (status,) = statuses(floor.send(body))
        assert status["filled"]["totalSz"] == "0.1"
        assert floor.alice.positions["BTC"].size == 10_000
        info = Info(floor.market, floor.desk, 1.0)
        role = info.answer(json.dumps({"type": "userRole", "user": agent}).encode(), floor.now_ms)
        assert json.loads(role.body) == {"role": "agent", "data": {"user": ALICE}}
        assert floor.desk.agents.rows(floor.alice) == [
            {"name": "bot", "address": agent, "validUntil": floor.now_ms + 90 * DAY_MS}
        ]

    def test_o24_an_agent_that_is_replaced_removed_or_expired_does_not_exist(self) -> None:
        floor = Floor()
        agent = address_of(STRANGER_KEY)
        assert self.approve(floor, agent) == OK
        assert self.approve(floor, "0x" + "0" * 40) == OK
        assert "does not exist" in refused(floor.act(NOOP, STRANGER_KEY))
        assert self.approve(floor, agent, f"bot valid_until {floor.now_ms + 1_000}") == OK
        assert floor.act(NOOP, STRANGER_KEY) == OK
        floor.wait(1_000)
        assert "does not exist" in refused(floor.act(NOOP, STRANGER_KEY))

    def test_an_approval_is_good_for_what_was_signed_and_at_most_180_days(self) -> None:
        floor = Floor()
        agent = address_of(STRANGER_KEY)
        late = floor.now_ms + 181 * DAY_MS
        text = "Agent valid_until already expired."
        assert refused(self.approve(floor, agent, f"bot valid_until {late}")) == text
        assert refused(self.approve(floor, agent, f"bot valid_until {floor.now_ms}")) == text
        assert "too long" in refused(self.approve(floor, agent, "x" * 17))
        floor = Floor(mainnet=True)
        assert refused(self.approve(floor, agent)) == "Unable to recover signer"
        assert not floor.alice.agents

    def test_an_agent_can_not_approve_and_an_account_has_three_with_names(self) -> None:
        floor = Floor()
        agent = address_of(STRANGER_KEY)
        assert self.approve(floor, agent, None) == OK
        assert floor.desk.agents.rows(floor.alice) == []
        text = f"Must deposit before performing actions. User: {agent}"
        assert refused(self.approve(floor, "0x" + "01" * 20, key=STRANGER_KEY)) == text
        for number in range(3):
            assert self.approve(floor, f"0x{number + 1:040x}", f"n{number}") == OK
        assert refused(self.approve(floor, "0x" + "09" * 20, "n3")).startswith("Too many extra agents")
        assert refused(self.approve(floor, agent, "n1")) == "Extra agent already used."
        assert refused(self.approve(floor, BOB, "n1")) == "Extra agent already used."


class TestBudget:
    """10,000 requests and one more a dollar traded."""

    def spend(self, floor: Floor, requests: int) -> None:
        floor.alice.requests = requests

    def test_every_entry_of_a_batch_counts_failed_ones_too_and_a_refused_action_nothing(self) -> None:
        floor = Floor()
        floor.place(wire("84000", "0.1"), wire("84144", "0.0001"))
        assert floor.alice.requests == 2
        floor.act(orders(*(wire("84000", "0.1") for _ in range(201))))
        assert floor.alice.requests == 2

    def test_when_it_is_used_up_one_action_goes_every_ten_seconds_and_refusals_do_not_count(self) -> None:
        floor = Floor()
        self.spend(floor, 10_000)
        assert floor.act(NOOP) == OK
        text = (
            "Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $0.0. Place "
            "taker orders to free up 1 request per USDC traded."
        )
        assert refused(floor.act(NOOP)) == text
        floor.wait(9_999)
        assert refused(floor.act(NOOP)) == text
        floor.wait(1)
        assert floor.act(NOOP) == OK
        assert floor.alice.requests == 10_002

    def test_o25_cancels_go_on_when_orders_do_not(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84000", "0.1"))
        self.spend(floor, 10_000)
        floor.act(NOOP)
        cancel = {"type": "cancel", "cancels": [{"a": 0, "o": oid_of(status)}]}
        assert statuses(floor.act(cancel)) == ["success"]
        self.spend(floor, 20_000)
        assert refused(floor.act(cancel)).startswith("Too many cumulative requests sent (20000 > 10000)")

    def test_volume_and_reserved_requests_raise_it(self) -> None:
        floor = Floor(volumes=[(ALICE, "357.45105")])
        floor.place(wire("84144", "0.01"))
        row = floor.desk.budget.row(floor.alice)
        assert row == {
            "cumVlm": "1198.89105",
            "nRequestsUsed": 1,
            "nRequestsCap": 11_198,
            "nRequestsSurplus": 0,
        }
        before = floor.alice.cash
        assert floor.act({"type": "reserveRequestWeight", "weight": 100}) == OK
        assert before - floor.alice.cash == DOLLAR // 20
        row = floor.desk.budget.row(floor.alice)
        assert (row["nRequestsUsed"], row["nRequestsSurplus"]) == (0, 98)

    def test_without_limits_everything_goes(self) -> None:
        floor = Floor(limited=False)
        self.spend(floor, 1_000_000)
        assert floor.act(NOOP) == floor.act(NOOP) == OK


@pytest.mark.parametrize(
    ("accounts", "volumes"),
    [
        ([(ALICE, "x")], []),
        ([(ALICE, "-1")], []),
        ([(ALICE, "1")], [(BOB, "1")]),
        ([(ALICE, "0.0000001")], []),
    ],
)
def test_accounts_that_cannot_be_are_a_usage_error(
    accounts: list[tuple[str, str]], volumes: list[tuple[str, str]]
) -> None:
    with pytest.raises(UsageError):
        Floor(accounts, volumes=volumes)
