"""Every question that the sandbox answers is on the page, and is answered as the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.info import QUESTIONS, Answer, Info
from tests.sandbox.exchange.kit import ALICE, BOB, IOC, START_MS, ExchangeDriver, orders, wire
from tests.sandbox.exchange.test_transfers import pay

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sandbox.md"
HOUR_MS = 3_600_000
ROW = re.compile(r"^\| `(\w+)` \| (.*?) ?\| (.*) \|$", re.MULTILINE)
STRANGER = "0x" + "9" * 40

ROWS = {
    kind: (re.findall(r"`(\w+)`(\??)", members), says)
    for kind, members, says in ROW.findall(PAGE.read_text("utf-8"))
}

MEMBERS: dict[str, Any] = {
    "user": ALICE,
    "dex": "",
    "coin": "BTC",
    "id": 40,
    "nSigFigs": 5,
    "mantissa": 2,
    "req": {"coin": "BTC", "interval": "1m", "startTime": 0},
    "startTime": 0,
    "endTime": START_MS * 2,
    "oid": 1,
    "aggregateByTime": False,
    "reversed": True,
    "source": BOB,
    "vaultAddress": BOB,
    "builder": BOB,
}


@pytest.fixture(scope="module")
def driver() -> ExchangeDriver:
    """Alice holds a position over two hours, sends money to Bob and withdraws some."""
    driver = ExchangeDriver()
    driver.wait(0)
    driver.trade("84144", "1")
    driver.act(orders(wire("84144", "1", kind=IOC)))
    pay(driver, "usdSend", "2500")
    driver.wait(2 * HOUR_MS)
    pay(driver, "withdraw3", "100")
    return driver


def ask(driver: ExchangeDriver, **request: Any) -> Answer:
    info = Info(driver.market, driver.exchange, 1.0)
    return info.answer(json.dumps(request).encode(), driver.now_ms)


def answer(driver: ExchangeDriver, **request: Any) -> Any:
    found = ask(driver, **request)
    assert found.status == 200, (request, found)
    return json.loads(found.body)


def asked(kind: str) -> dict[str, Any]:
    """The question with all its members."""
    return {"type": kind, **{name: MEMBERS[name] for name, _ in ROWS[kind][0]}}


def test_the_page_lists_what_is_answered() -> None:
    assert set(ROWS) == QUESTIONS


@pytest.mark.parametrize("kind", sorted(ROWS))
def test_a_question_needs_the_members_on_the_page(driver: ExchangeDriver, kind: str) -> None:
    members, says = ROWS[kind]
    whole = answer(driver, **asked(kind))
    if (constant := re.match(r"`(.+?)`", says)) is not None:
        assert whole == json.loads(constant[1])
    for name, optional in members:
        without = {member: value for member, value in asked(kind).items() if member not in (name, "mantissa")}
        assert ask(driver, **without).status == (200 if optional else 422), name
        if name in ("user", "vaultAddress", "builder", "source"):
            assert ask(driver, **{**asked(kind), name: "0x12"}).status == 422
    if ("user", "") in members:
        assert ask(driver, **{**asked(kind), "user": STRANGER}).status == 200


def test_everything_else_is_refused_as_an_unknown_type(driver: ExchangeDriver) -> None:
    rest = PAGE.read_text("utf-8").partition("Not answered")[2].partition("\n\n")[0]
    others = re.findall(r"`(\w+)`", rest)
    assert others
    for kind in others:
        found = ask(driver, type=kind, user=ALICE)
        assert (found.status, found.text) == (422, True)


def test_the_ledger_and_the_payments_can_be_read_without_a_start(driver: ExchangeDriver) -> None:
    for kind in ("userNonFundingLedgerUpdates", "userFunding"):
        rows = answer(driver, type=kind, user=ALICE)
        assert rows
        assert rows == answer(driver, type=kind, user=ALICE, startTime=0)
        assert rows == answer(driver, type=kind, user=ALICE, startTime=None, endTime=None)
    deltas = [row["delta"]["type"] for row in answer(driver, type="userNonFundingLedgerUpdates", user=ALICE)]
    assert deltas == ["deposit", "internalTransfer", "withdraw"]


def test_a_portfolio_has_the_account_value_and_the_profit_by_the_hour(driver: ExchangeDriver) -> None:
    periods = dict(answer(driver, type="portfolio", user=ALICE))
    assert list(periods) == [
        *("day", "week", "month", "allTime"),
        *("perpDay", "perpWeek", "perpMonth", "perpAllTime"),
    ]
    state = answer(driver, type="clearinghouseState", user=ALICE)
    equity = state["marginSummary"]["accountValue"]
    whole = periods["allTime"]
    assert whole == periods["perpAllTime"] == periods["day"], "the account is younger than a day"
    times = [at for at, _ in whole["accountValueHistory"]]
    assert times == sorted(times)
    assert len(times) == 4, "the opening, two hours, now"
    assert whole["accountValueHistory"][0][1] == "100000.0"
    assert whole["accountValueHistory"][-1] == [driver.now_ms, equity]
    assert whole["pnlHistory"][0][1] == "0.0"
    # What was moved is no profit: 2,500 sent, 100 withdrawn.
    assert float(whole["pnlHistory"][-1][1]) == pytest.approx(float(equity) - 97_400)
    assert float(whole["vlm"]) == pytest.approx(84_144, rel=1e-3)
    nothing = dict(answer(driver, type="portfolio", user=STRANGER))["day"]
    assert nothing["accountValueHistory"] == [[driver.now_ms, "0.0"]]


def test_a_period_of_a_portfolio_begins_with_what_the_account_was_worth_then() -> None:
    driver = ExchangeDriver()
    driver.wait(0)
    driver.trade("84144", "1")
    driver.act(orders(wire("84144", "1", kind=IOC)))
    for _ in range(40):
        driver.wait(HOUR_MS)
    periods = dict(answer(driver, type="portfolio", user=ALICE))
    day, whole = periods["day"], periods["allTime"]
    assert day["accountValueHistory"][0][0] == driver.now_ms - 24 * HOUR_MS
    assert len(day["accountValueHistory"]) < len(whole["accountValueHistory"]) == 42
    assert day["pnlHistory"][0][1] == "0.0"
    assert (day["vlm"], float(whole["vlm"]) > 80_000) == ("0.0", True)


def test_samples_of_a_long_session_are_bounded_and_keep_the_first() -> None:
    driver = ExchangeDriver()
    for _ in range(800):
        driver.wait(HOUR_MS)
    samples = driver.alice.samples
    assert len(samples) == 31 * 24
    assert samples[0].time_ms < START_MS + 2 * HOUR_MS
    assert samples[-1].time_ms > START_MS + 799 * HOUR_MS


def test_an_account_that_traded_enough_may_refer_others() -> None:
    fresh, old = ExchangeDriver(), ExchangeDriver(volumes=((ALICE, "20000"),))
    need = answer(fresh, type="referral", user=ALICE)["referrerState"]
    assert need == {"stage": "needToTrade", "data": {"required": "10000.0"}}
    ready = answer(old, type="referral", user=ALICE)
    assert (ready["referrerState"], ready["cumVlm"]) == ({"stage": "needToCreateCode"}, "20000.0")


def test_an_address_is_known_before_money_is_sent_to_it(driver: ExchangeDriver) -> None:
    known = answer(driver, type="preTransferCheck", user=ALICE, source=BOB)
    assert known == {"fee": "0.0", "isSanctioned": False, "userExists": True, "userHasSentTx": True}
    unknown = answer(driver, type="preTransferCheck", user=STRANGER, source=BOB)
    assert (unknown["userExists"], unknown["userHasSentTx"]) == (False, False)


def test_names_that_are_not_listed_are_answered_as_on_the_venue(driver: ExchangeDriver) -> None:
    for request in (
        {"type": "marginTable", "id": 7},
        {"type": "perpDexStatus", "dex": "nope"},
        {"type": "meta", "dex": "nope"},
        {"type": "fundingHistory", "coin": "NOPE", "startTime": 0},
    ):
        found = ask(driver, **request)
        assert (found.status, found.body) == (500, "null")
    for request in (
        {"type": "l2Book", "coin": "NOPE"},
        {"type": "activeAssetData", "user": ALICE, "coin": "NOPE"},
        {"type": "perpAnnotation", "coin": "NOPE"},
        {"type": "perpDexLimits", "dex": "nope"},
    ):
        assert answer(driver, **request) is None


def test_what_was_deposited_is_the_sum_of_all_accounts(driver: ExchangeDriver) -> None:
    assert answer(driver, type="perpDexStatus", dex="") == {"totalNetDeposit": "199900.0"}
