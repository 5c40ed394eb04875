"""Authentication: signatures over the canonical form, nonces, agents, expiry and request budgets."""

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
    ExchangeDriver,
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
    """Assert that an answer is a refusal and return its text."""
    assert answer["status"] == "err", answer
    text: str = answer["response"]
    return text


def test_the_error_for_an_unknown_signer_contains_its_address() -> None:
    text = f"User or API Wallet {address_of(STRANGER_KEY)} does not exist."
    assert refused(ExchangeDriver().act(NOOP, STRANGER_KEY)) == text


def test_an_account_without_money_must_deposit() -> None:
    driver = ExchangeDriver([(ALICE, "0")])
    assert refused(driver.act(NOOP)) == f"Must deposit before performing actions. User: {ALICE}"


@pytest.mark.parametrize("mainnet", [False, True])
def test_a_signature_for_the_other_network_recovers_to_an_unknown_address(mainnet: bool) -> None:
    driver = ExchangeDriver(mainnet=mainnet)
    assert driver.act(NOOP, mainnet=mainnet) == OK
    assert "does not exist" in refused(driver.act(NOOP, mainnet=not mainnet))


def test_r_and_s_may_lack_their_leading_zeros() -> None:
    driver = ExchangeDriver()
    for nonce in range(START_MS, START_MS + 10_000):
        body = signed(NOOP, nonce)
        if body["signature"]["r"].startswith("0x0"):
            break
    body["signature"] = {**body["signature"], "r": hex(int(body["signature"]["r"], 16))}
    assert len(body["signature"]["r"]) < 66
    assert driver.send(body) == OK


class TestCanonicalForm:
    """A signature over any form but the canonical one recovers to an unknown address."""

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
    def test_other_forms_recover_to_an_unknown_address(self, action: dict[str, Any]) -> None:
        assert "does not exist" in refused(ExchangeDriver().act(action))

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
    def test_the_canonical_form_recovers_to_the_signer(self, action: dict[str, Any]) -> None:
        assert ExchangeDriver().act(action)["status"] == "ok"

    def test_member_order_matters_in_the_signed_action_but_not_in_the_body(self) -> None:
        driver = ExchangeDriver()
        body = signed({"type": "cancel", "cancels": [{"a": 0, "o": 1}]}, START_MS)
        body["action"] = {"cancels": [{"o": 1, "a": 0}], "type": "cancel"}
        assert driver.send(body)["status"] == "ok"


class TestBodies:
    """Invalid request bodies."""

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
    def test_an_unreadable_request_is_422_and_has_no_effect(self, change: dict[str, Any]) -> None:
        driver = ExchangeDriver()
        with pytest.raises(BadRequest, match="Failed to deserialize the JSON body") as caught:
            driver.send({**signed(NOOP, START_MS), **change})
        assert caught.value.status == 422
        assert driver.alice.requests == 0

    def test_invalid_json_is_400(self) -> None:
        with pytest.raises(BadRequest, match="Failed to parse the request body as JSON") as caught:
            ExchangeDriver().exchange.act(b'{"action":', START_MS)
        assert caught.value.status == 400

    def test_an_invalid_signature_is_refused(self) -> None:
        body = {**signed(NOOP, START_MS), "signature": {"r": "0x0", "s": "0x0", "v": 5}}
        assert refused(ExchangeDriver().send(body)) == "Unable to recover signer"


class TestNonces:
    """The hundred highest nonces of each signer, within a window of the venue's time."""

    def test_o15_a_used_nonce_is_refused_and_the_action_is_not_repeated(self) -> None:
        driver = ExchangeDriver()
        body = signed(orders(wire("84000", "0.1")), START_MS + 5)
        assert driver.send(body)["status"] == "ok"
        assert refused(driver.send(body)) == f"Invalid nonce: duplicate nonce {START_MS + 5}"
        assert len(driver.alice.orders) == 1

    def test_o15_nonces_may_come_in_any_order_above_the_lowest_of_a_hundred(self) -> None:
        driver = ExchangeDriver()
        for nonce in range(START_MS + 10, START_MS + 110):
            assert driver.send(signed(NOOP, nonce)) == OK
        assert "too low" in refused(driver.send(signed(NOOP, START_MS + 9)))
        assert driver.send(signed(NOOP, START_MS + 200)) == OK
        assert driver.send(signed(NOOP, START_MS + 150)) == OK
        assert "too low" in refused(driver.send(signed(NOOP, START_MS + 11)))

    def test_o15_a_high_nonce_does_not_exclude_lower_ones_before_there_are_a_hundred(self) -> None:
        driver = ExchangeDriver()
        for nonce in (START_MS + 5_000, *range(START_MS + 10, START_MS + 110)):
            assert driver.send(signed(NOOP, nonce)) == OK
        assert "too low" in refused(driver.send(signed(NOOP, START_MS + 9)))

    @pytest.mark.parametrize(("offset", "good"), [(-2, False), (-1.9, True), (0.9, True), (1, False)])
    def test_o15_nonces_may_be_two_days_old_and_one_day_ahead(self, offset: float, good: bool) -> None:
        driver = ExchangeDriver()
        nonce = driver.now_ms + int(offset * DAY_MS)
        assert (driver.send(signed(NOOP, nonce)) == OK) == good

    def test_o11_an_expired_action_is_refused_costs_five_requests_and_keeps_its_nonce_unused(self) -> None:
        driver = ExchangeDriver()
        body = signed(orders(wire("84000", "0.1")), START_MS, expires=driver.now_ms - 1)
        assert refused(driver.send(body)) == "Action already expired"
        assert driver.alice.requests == 5
        assert not driver.alice.orders
        assert driver.send(signed(NOOP, START_MS, expires=driver.now_ms)) == OK

    def test_an_unknown_vault_is_refused(self) -> None:
        vault = "0x" + "dd" * 20
        assert refused(ExchangeDriver().act(NOOP, vault=vault)) == f"Vault not registered: {vault}"


class TestAgents:
    """`approveAgent`, signed as the official SDK signs it."""

    def approve(
        self,
        driver: ExchangeDriver,
        address: str,
        name: str | None = "bot",
        key: str = ALICE_KEY,
        **unsigned: Any,
    ) -> dict[str, Any]:
        nonce = driver.nonce()
        action = {"type": "approveAgent", "agentAddress": address, "agentName": name or "", "nonce": nonce}
        signature = sign_agent(Account.from_key(key), action, False)
        if name is None:
            del action["agentName"]
        return driver.send({"action": action, "nonce": nonce, "signature": signature, **unsigned})

    @pytest.mark.parametrize(
        "unsigned", [{"vaultAddress": ALICE}, {"vaultAddress": BOB}, {"expiresAfter": START_MS + DAY_MS}]
    )
    def test_an_approval_with_a_vault_or_an_expiry_is_refused(self, unsigned: dict[str, Any]) -> None:
        driver = ExchangeDriver()
        text = "User-signed actions take neither vaultAddress nor expiresAfter."
        assert refused(self.approve(driver, address_of(STRANGER_KEY), **unsigned)) == text
        assert not driver.alice.agents

    def test_an_agent_trades_for_its_master_with_nonces_of_its_own(self) -> None:
        driver = ExchangeDriver()
        agent = address_of(STRANGER_KEY)
        assert self.approve(driver, agent) == OK
        body = signed(orders(wire("84200", "0.1")), START_MS, STRANGER_KEY)
        (status,) = statuses(driver.send(body))
        assert status["filled"]["totalSz"] == "0.1"
        assert driver.alice.positions["BTC"].size == 10_000
        info = Info(driver.market, driver.exchange, 1.0)
        role = info.answer(json.dumps({"type": "userRole", "user": agent}).encode(), driver.now_ms)
        assert json.loads(role.body) == {"role": "agent", "data": {"user": ALICE}}
        assert driver.exchange.agents.rows(driver.alice) == [
            {"name": "bot", "address": agent, "validUntil": driver.now_ms + 90 * DAY_MS}
        ]

    def test_o24_an_agent_that_is_replaced_removed_or_expired_does_not_exist(self) -> None:
        driver = ExchangeDriver()
        agent = address_of(STRANGER_KEY)
        assert self.approve(driver, agent) == OK
        assert self.approve(driver, "0x" + "0" * 40) == OK
        assert "does not exist" in refused(driver.act(NOOP, STRANGER_KEY))
        assert self.approve(driver, agent, f"bot valid_until {driver.now_ms + 1_000}") == OK
        assert driver.act(NOOP, STRANGER_KEY) == OK
        driver.wait(1_000)
        assert "does not exist" in refused(driver.act(NOOP, STRANGER_KEY))

    def test_an_approval_expires_as_signed_and_after_at_most_180_days(self) -> None:
        driver = ExchangeDriver()
        agent = address_of(STRANGER_KEY)
        late = driver.now_ms + 181 * DAY_MS
        text = "Agent valid_until already expired."
        assert refused(self.approve(driver, agent, f"bot valid_until {late}")) == text
        assert refused(self.approve(driver, agent, f"bot valid_until {driver.now_ms}")) == text
        assert "too long" in refused(self.approve(driver, agent, "x" * 17))
        driver = ExchangeDriver(mainnet=True)
        assert refused(self.approve(driver, agent)) == "Unable to recover signer"
        assert not driver.alice.agents

    def test_an_agent_cannot_approve_and_an_account_has_three_named_agents(self) -> None:
        driver = ExchangeDriver()
        agent = address_of(STRANGER_KEY)
        assert self.approve(driver, agent, None) == OK
        assert driver.exchange.agents.rows(driver.alice) == []
        text = f"Must deposit before performing actions. User: {agent}"
        assert refused(self.approve(driver, "0x" + "01" * 20, key=STRANGER_KEY)) == text
        for number in range(3):
            assert self.approve(driver, f"0x{number + 1:040x}", f"n{number}") == OK
        assert refused(self.approve(driver, "0x" + "09" * 20, "n3")).startswith("Too many extra agents")
        assert refused(self.approve(driver, agent, "n1")) == "Extra agent already used."
        assert refused(self.approve(driver, BOB, "n1")) == "Extra agent already used."


class TestBudget:
    """10,000 requests, plus one for each dollar traded."""

    def spend(self, driver: ExchangeDriver, requests: int) -> None:
        driver.alice.requests = requests

    def test_failed_entries_count_and_refused_actions_do_not(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84000", "0.1"), wire("84144", "0.0001"))
        assert driver.alice.requests == 2
        driver.act(orders(*(wire("84000", "0.1") for _ in range(201))))
        assert driver.alice.requests == 2

    def test_beyond_the_budget_one_action_is_allowed_every_ten_seconds(self) -> None:
        driver = ExchangeDriver()
        self.spend(driver, 10_000)
        assert driver.act(NOOP) == OK
        text = (
            "Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $0.0. Place "
            "taker orders to free up 1 request per USDC traded."
        )
        assert refused(driver.act(NOOP)) == text
        driver.wait(9_999)
        assert refused(driver.act(NOOP)) == text
        driver.wait(1)
        assert driver.act(NOOP) == OK
        assert driver.alice.requests == 10_002

    def test_o25_cancels_are_allowed_when_orders_are_not(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84000", "0.1"))
        self.spend(driver, 10_000)
        driver.act(NOOP)
        cancel = {"type": "cancel", "cancels": [{"a": 0, "o": oid_of(status)}]}
        assert statuses(driver.act(cancel)) == ["success"]
        self.spend(driver, 20_000)
        assert refused(driver.act(cancel)).startswith("Too many cumulative requests sent (20000 > 10000)")

    def test_volume_and_reserved_requests_increase_the_budget(self) -> None:
        driver = ExchangeDriver(volumes=[(ALICE, "357.45105")])
        driver.place(wire("84144", "0.01"))
        row = driver.exchange.budget.row(driver.alice)
        assert row == {
            "cumVlm": "1198.89105",
            "nRequestsUsed": 1,
            "nRequestsCap": 11_198,
            "nRequestsSurplus": 0,
        }
        before = driver.alice.cash
        assert driver.act({"type": "reserveRequestWeight", "weight": 100}) == OK
        assert before - driver.alice.cash == DOLLAR // 20
        row = driver.exchange.budget.row(driver.alice)
        assert (row["nRequestsUsed"], row["nRequestsSurplus"]) == (0, 98)

    def test_without_limits_nothing_is_refused(self) -> None:
        driver = ExchangeDriver(limited=False)
        self.spend(driver, 1_000_000)
        assert driver.act(NOOP) == driver.act(NOOP) == OK


@pytest.mark.parametrize(
    ("accounts", "volumes"),
    [
        ([(ALICE, "x")], []),
        ([(ALICE, "-1")], []),
        ([(ALICE, "1")], [(BOB, "1")]),
        ([(ALICE, "0.0000001")], []),
    ],
)
def test_invalid_accounts_are_a_usage_error(
    accounts: list[tuple[str, str]], volumes: list[tuple[str, str]]
) -> None:
    with pytest.raises(UsageError):
        ExchangeDriver(accounts, volumes=volumes)
