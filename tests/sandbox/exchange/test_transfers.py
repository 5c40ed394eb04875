"""Money that moves between accounts, and out of the venue, by actions that a wallet signs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from hyperliquid.utils.signing import sign_usd_transfer_action, sign_withdraw_from_bridge_action

from adapters.sandbox.exchange.exchange import Exchange
from adapters.sandbox.info import Info
from tests.sandbox.exchange.kit import ALICE, ALICE_KEY, BOB, START_MS, ExchangeDriver, wire

DOLLAR = 10**12
OK = {"status": "ok", "response": {"type": "default"}}


def pay(driver: ExchangeDriver, kind: str, amount: str, destination: str = BOB, **unsigned: Any) -> Any:
    """Send or withdraw as the official SDK signs it."""
    sign = {"usdSend": sign_usd_transfer_action, "withdraw3": sign_withdraw_from_bridge_action}[kind]
    nonce = driver.nonce()
    action = {"type": kind, "destination": destination, "amount": amount, "time": nonce}
    signature = sign(Account.from_key(ALICE_KEY), action, False)
    return driver.send({"action": action, "nonce": nonce, "signature": signature, **unsigned})


def ledger(driver: ExchangeDriver, user: str) -> list[Any]:
    """Return the rows of the ledger over HTTP, which are those of the stream."""
    info = Info(driver.market, driver.exchange, 1.0)
    request = {"type": "userNonFundingLedgerUpdates", "user": user, "startTime": START_MS - 10**9}
    rows = json.loads(info.answer(json.dumps(request).encode(), driver.now_ms).body)
    pushed = driver.reported("userNonFundingLedgerUpdates", user)
    assert [row for data in pushed for row in data["nonFundingLedgerUpdates"]] == rows
    found: list[Any] = [row["delta"] for row in rows]
    return found


def test_money_sent_leaves_one_account_and_reaches_the_other() -> None:
    driver = ExchangeDriver()
    assert pay(driver, "usdSend", "2500.5") == OK
    assert (driver.alice.cash, driver.bob.cash) == (97_499_500_000 * 10**6, 102_500_500_000 * 10**6)
    moved = {"type": "internalTransfer", "usdc": "2500.5", "user": ALICE, "destination": BOB, "fee": "0.0"}
    for user in (ALICE, BOB):
        first, second = ledger(driver, user)
        assert first == {"type": "deposit", "usdc": "100000.0"}
        assert second == moved


def test_a_withdrawal_costs_a_dollar_of_its_amount() -> None:
    driver = ExchangeDriver()
    assert pay(driver, "withdraw3", "100") == OK
    assert driver.alice.cash == 99_900 * DOLLAR
    assert ledger(driver, ALICE)[1] == {
        "type": "withdraw",
        "usdc": "99.0",
        "nonce": START_MS + 100,
        "fee": "1.0",
    }


@pytest.mark.parametrize(
    ("kind", "amount", "destination"),
    [
        ("usdSend", "100000.000001", BOB),
        ("usdSend", "0", BOB),
        ("usdSend", "0.0000001", BOB),
        ("usdSend", "1", ALICE),
        ("usdSend", "1", "0x" + "9" * 40),
        ("withdraw3", "1", BOB),
    ],
)
def test_an_impossible_payment_is_refused(kind: str, amount: str, destination: str) -> None:
    driver = ExchangeDriver()
    assert pay(driver, kind, amount, destination)["status"] == "err"
    assert driver.alice.cash == driver.bob.cash == 100_000 * DOLLAR


def test_margin_of_a_position_cannot_be_sent_away() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "1", kind={"limit": {"tif": "Ioc"}}))
    free = driver.exchange.margin.withdrawable(driver.alice)
    assert pay(driver, "usdSend", str(free // DOLLAR + 1))["status"] == "err"
    assert pay(driver, "usdSend", str(free // DOLLAR)) == OK


def test_a_payment_signed_for_another_amount_or_network_is_not_the_accounts() -> None:
    driver = ExchangeDriver()
    nonce = driver.nonce()
    action = {"type": "usdSend", "destination": BOB, "amount": "1", "time": nonce}
    signature = sign_usd_transfer_action(Account.from_key(ALICE_KEY), action, False)
    answer = driver.send({"action": {**action, "amount": "1000"}, "nonce": nonce, "signature": signature})
    assert answer["response"].startswith("Must deposit before performing actions. User: ")
    answer = driver.send({"action": action, "nonce": nonce + 1, "signature": signature})
    assert answer["response"] == "Unable to recover signer", "the nonce is part of what is signed"
    mainnet = sign_usd_transfer_action(Account.from_key(ALICE_KEY), dict(action), True)
    action = {**action, "hyperliquidChain": "Mainnet"}
    assert driver.send({"action": action, "nonce": nonce, "signature": mainnet})["status"] == "err"
    assert driver.alice.cash == 100_000 * DOLLAR


def test_a_payment_takes_neither_vault_nor_expiry() -> None:
    driver = ExchangeDriver()
    text = "User-signed actions take neither vaultAddress nor expiresAfter."
    assert pay(driver, "usdSend", "1", vaultAddress=ALICE)["response"] == text


def test_a_stop_that_fired_says_so_for_good() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.1", kind={"limit": {"tif": "Ioc"}}))
    stop = {"trigger": {"isMarket": True, "triggerPx": "84000", "tpsl": "sl"}}
    driver.place(wire("83900", "0.1", buy=False, kind=stop, reduce_only=True, cloid="0x" + "1" * 32))
    assert _condition(driver.exchange, driver.now_ms) == "Price below 84000"
    driver.quote("80000", "80001")
    assert driver.updates()[-2:] == [("triggered", "0.1"), ("canceled", "0.1")], "it gapped beyond its limit"
    assert _condition(driver.exchange, driver.now_ms) == "Triggered"


def _condition(exchange: Exchange, now_ms: int) -> str:
    info = Info(exchange.market, exchange, 1.0)
    request = {"type": "orderStatus", "user": ALICE, "oid": "0x" + "1" * 32}
    row = json.loads(info.answer(json.dumps(request).encode(), now_ms).body)
    found: str = row["order"]["order"]["triggerCondition"]
    return found
