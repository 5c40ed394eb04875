"""Answers and frames of the exchange have exactly the members of the venue's payload examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.exchange.user_info import first_user_frame
from adapters.sandbox.info import Info
from adapters.sandbox.wire import (
    OrderUpdates,
    UserFills,
    UserFundings,
    UserLedger,
    UserOrders,
    UserSpot,
    UserState,
    UserSubscription,
)
from tests.sandbox.exchange.kit import ALICE, ALO, BOB, ExchangeDriver, oid_of, orders, trigger, wire

EXAMPLES = Path(__file__).resolve().parents[4] / "shared" / "exchanges" / "hyperliquid"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the payload examples are not here")

HOUR_MS = 3_600_000
CLOID = "0x" + "ab" * 16

# Members that are present only when they apply.
OPTIONAL = {"cloid", "builderFee", "liquidation", "reduceOnly", "isSnapshot", "rawUsd"}
# Members of live rows that are missing in the documentation's sample but named in its reference.
UNDOCUMENTED = {"twapId", "fundingIntervalHours"}


def example(file: str, name: str) -> Any:
    """Return a payload example: a frame's data, or a response."""
    items = json.loads((EXAMPLES / f"{file}.json").read_text("utf-8"))["items"]
    (found,) = [item for item in items if item["id"] == name]
    return found["frame"] if "frame" in found else found["response"]


def objects(value: Any, path: str = "") -> list[tuple[str, set[str]]]:
    """Yield every object as (path, member names). All rows of a list have the same path."""
    if isinstance(value, list):
        return [found for one in value for found in objects(one, path + "[]")]
    if not isinstance(value, dict):
        return []
    found = [(path, set(value))]
    for name, one in value.items():
        if name == "children":
            found += [inner for child in one for inner in objects(child, path)]
        else:
            found += objects(one, f"{path}.{name}")
    return found


def compare(ours: Any, theirs: Any) -> None:
    """Assert that our objects have all members that theirs always have, and none that theirs never have."""
    known: dict[str, list[set[str]]] = {}
    for path, names in objects(theirs):
        known.setdefault(path, []).append(names)
    for path, names in objects(ours):
        assert path in known, f"the venue has no object at {path}"
        assert set.intersection(*known[path]) - OPTIONAL <= names, path
        assert names - OPTIONAL - UNDOCUMENTED <= set.union(*known[path]), path


@pytest.fixture(scope="module")
def driver() -> ExchangeDriver:
    """Return an exchange with an account that has orders, fills, funding and a position."""
    driver = ExchangeDriver()
    driver.act({"type": "updateLeverage", "asset": 0, "isCross": False, "leverage": 10})
    driver.place(wire("84200", "0.3", cloid=CLOID))
    driver.place(wire("84144", "0.05"), wire("80000", "0.1", kind=ALO))
    children = [
        wire("90000", "0.1", buy=False, reduce_only=True, kind=trigger("90000", "tp")),
        wire("70000", "0.1", buy=False, reduce_only=True, kind=trigger("70000", "sl")),
    ]
    driver.place(wire("81000", "0.1"), *children, grouping="normalTpsl")
    driver.place(wire("84000", "0.1", buy=False))
    driver.wait(HOUR_MS)
    return driver


def answer(driver: ExchangeDriver, **request: Any) -> Any:
    info = Info(driver.market, driver.exchange, 1.0)
    found = info.answer(json.dumps(request).encode(), driver.now_ms)
    assert found.status == 200, found
    return json.loads(found.body)


@pytest.mark.parametrize(
    ("file", "name", "request_"),
    [
        ("info-clearinghousestate", "documentation-isolated", {"type": "clearinghouseState"}),
        ("info-spotclearinghousestate", "jk", {"type": "spotClearinghouseState"}),
        ("info-frontendopenorders", "jk", {"type": "frontendOpenOrders"}),
        ("info-openorders", "one-testnet-2026", {"type": "openOrders"}),
        ("info-userfills", "documentation", {"type": "userFills"}),
        ("info-userfills", "documentation", {"type": "userFillsByTime", "startTime": 0}),
        ("info-userfunding", "jk", {"type": "userFunding", "startTime": 0}),
        ("info-userratelimit", "documentation", {"type": "userRateLimit"}),
        ("info-userfees", "documentation-trimmed", {"type": "userFees"}),
        ("info-activeassetdata", "documentation", {"type": "activeAssetData", "coin": "BTC"}),
        ("info-orderstatus", "filled-frontend-market", {"type": "orderStatus", "oid": CLOID}),
        ("info-orderstatus", "unknown", {"type": "orderStatus", "oid": 1}),
        ("info-predictedfundings", "documentation-trimmed", {"type": "predictedFundings"}),
        ("info-spotmeta", "jk-trimmed", {"type": "spotMeta"}),
        ("info-perpdexs", "documentation", {"type": "perpDexs"}),
        (
            "info-fundinghistory",
            "sdk-2023-trimmed",
            {"type": "fundingHistory", "coin": "BTC", "startTime": 0},
        ),
    ],
)
def test_answers_of_info(driver: ExchangeDriver, file: str, name: str, request_: dict[str, Any]) -> None:
    ours = answer(driver, user=ALICE, **request_)
    assert ours or file == "info-perpdexs"
    compare(ours, example(file, name))


def test_historical_orders_are_rows_of_order_status(driver: ExchangeDriver) -> None:
    row = example("info-orderstatus", "filled-frontend-market")["order"]
    ours = answer(driver, type="historicalOrders", user=ALICE)
    compare(ours, [row])
    times = [one["order"]["timestamp"] for one in ours if one["status"] != "open"]
    assert times == sorted(times, reverse=True)


def test_the_ledger_is_that_of_its_channel(driver: ExchangeDriver) -> None:
    rows = example("ws-usernonfundingledgerupdates", "snapshot")["data"]["nonFundingLedgerUpdates"]
    compare(answer(driver, type="userNonFundingLedgerUpdates", user=ALICE, startTime=0), rows[:1])


def test_roles_and_agents(driver: ExchangeDriver) -> None:
    assert answer(driver, type="userRole", user=ALICE) == {"role": "user"}
    assert answer(driver, type="userRole", user="0x" + "0" * 40) == {"role": "missing"}
    assert answer(driver, type="extraAgents", user=ALICE) == []
    assert answer(driver, type="subAccounts", user=ALICE) == []
    assert answer(driver, type="perpsAtOpenInterestCap") == []


@pytest.mark.parametrize(
    ("file", "name", "subscription"),
    [
        ("ws-clearinghousestate", "flat", UserState(BOB)),
        ("ws-openorders", "nested-children", UserOrders(ALICE)),
        ("ws-spotstate", "balances", UserSpot(ALICE)),
        ("ws-userfills", "snapshot-one", UserFills(ALICE)),
        ("ws-userfills", "snapshot-empty", UserFills(BOB)),
        ("ws-userfundings", "snapshot", UserFundings(ALICE)),
        ("ws-usernonfundingledgerupdates", "snapshot", UserLedger(ALICE)),
    ],
)
def test_first_frames(driver: ExchangeDriver, file: str, name: str, subscription: UserSubscription) -> None:
    text = first_user_frame(driver.exchange, subscription, driver.now_ms)
    assert text is not None
    ours, theirs = json.loads(text), example(file, name)
    assert ours["channel"] == theirs["channel"]
    assert ours["data"].get("isSnapshot") == theirs["data"].get("isSnapshot")
    compare(ours["data"], theirs["data"])


def test_channels_without_a_snapshot(driver: ExchangeDriver) -> None:
    assert first_user_frame(driver.exchange, OrderUpdates(ALICE), driver.now_ms) is None


@pytest.mark.parametrize(
    ("file", "name", "kind", "member"),
    [
        ("ws-orderupdates", "open-filled-canceled", "orderUpdates", ""),
        ("ws-userfills", "increment", "userFills", "fills"),
        ("ws-user-events", "fill-counterparty-liquidated", "userEvents", "fills"),
        ("ws-user-events", "funding", "userEvents", "funding"),
    ],
)
def test_later_frames(driver: ExchangeDriver, file: str, name: str, kind: str, member: str) -> None:
    theirs = example(file, name)["data"]
    reported = [data for data in driver.reported(kind) if not member or member in data]
    assert reported
    for data in reported:
        compare(data, theirs)


def test_events_initiated_by_the_venue() -> None:
    driver = ExchangeDriver([(ALICE, "3000")])
    driver.place(wire("84200", "0.5"))
    driver.place(wire("70000", "0.01"))
    driver.quote("78000", "78002")
    reported = driver.reported("userEvents")
    for name, member in (("liquidation", "liquidation"), ("non-user-cancel", "nonUserCancel")):
        (data,) = [one for one in reported if member in one]
        compare(data, example("ws-user-events", name)["data"])
    (data,) = driver.reported("userNonFundingLedgerUpdates")[1:]
    compare(data, example("ws-usernonfundingledgerupdates", "snapshot")["data"])
    (data,) = [one for one in reported if "fills" in one and "liquidation" in one["fills"][0]]
    assert set(data["fills"][0]["liquidation"]) == {"liquidatedUser", "markPx", "method"}


class TestExchange:
    """Answers of `/exchange` compared with recorded ones."""

    @pytest.mark.parametrize(
        ("name", "order"),
        [
            ("resting", wire("84000", "0.1")),
            ("resting-with-cloid", wire("84000", "0.1", cloid=CLOID)),
            ("below-minimum", wire("84000", "0.0001")),
            ("filled", wire("84200", "0.1")),
        ],
    )
    def test_orders(self, name: str, order: dict[str, Any]) -> None:
        ours, theirs = ExchangeDriver().act(orders(order)), example("exchange-order", name)
        assert objects(ours) == objects(theirs)
        assert (ours["status"], ours["response"]["type"]) == (theirs["status"], theirs["response"]["type"])

    @pytest.mark.parametrize(
        ("name", "price"), [("entry-with-tp-and-sl", "84200"), ("request-trigger-normaltpsl", "84000")]
    )
    def test_groups(self, name: str, price: str) -> None:
        legs = [("90000", "tp"), ("70000", "sl")]
        children = [wire(at, "0.1", buy=False, reduce_only=True, kind=trigger(at, kind)) for at, kind in legs]
        ours = ExchangeDriver().act(orders(wire(price, "0.1"), *children, grouping="normalTpsl"))
        theirs = example("exchange-order", name)
        assert objects(ours) == objects(theirs)
        assert ours["response"]["data"]["statuses"][1:] == theirs["response"]["data"]["statuses"][1:]

    def test_cancels(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84000", "0.1", cloid=CLOID))
        cancel = {"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": CLOID}]}
        assert driver.act(cancel) == example("exchange-cancel", "cancel-by-cloid-ok")
        cancel = {"type": "cancel", "cancels": [{"a": 0, "o": oid_of(status)}]}
        ours, theirs = driver.act(cancel), example("exchange-cancel", "cancel-unknown")
        assert objects(ours) == objects(theirs)

    @pytest.mark.parametrize("name", ["update-leverage", "noop", "reserve-request-weight"])
    def test_default_answers(self, name: str) -> None:
        items = json.loads((EXAMPLES / "exchange-default.json").read_text("utf-8"))["items"]
        (item,) = [item for item in items if item["id"] == name]
        action = item["action"]
        if "asset" in action:
            action["asset"] = 0
        assert ExchangeDriver().act(action) == item["response"]

    def test_the_text_for_missing_volume_equals_the_recorded_one(self) -> None:
        theirs = example("exchange-errors", "dead-man-switch-volume-gate")
        assert ExchangeDriver().act({"type": "scheduleCancel", "time": 1_790_000_000_000}) == theirs
