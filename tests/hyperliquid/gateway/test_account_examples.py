"""Every example of an account message is read; no mutation of one breaks a reader (V04)."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adapters.hyperliquid.client import _Role as Role
from adapters.hyperliquid.envelope import AckFrame, ErrorFrame, OtherFrame, PongFrame
from adapters.hyperliquid.gateway.account_wire import (
    EventsFrame,
    FillsFrame,
    LedgerFrame,
    OpenOrder,
    OrderAnswer,
    PostFrame,
    UpdatesFrame,
    WireFill,
    WireState,
    decode_account_message,
)
from adapters.hyperliquid.gateway.reading import Reading
from adapters.transport.decoding import decode_body
from engine.clock import SECOND_NS
from engine.errors import VenueProtocolError
from engine.events import (
    FundingPaid,
    InstrumentListed,
    Liquidated,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRead,
)

EXAMPLES = Path(__file__).resolve().parents[4] / "shared" / "exchanges" / "hyperliquid"
NOW = 1_800_000_000 * SECOND_NS
FRAMES: dict[str, type] = {
    "ws-userfills": FillsFrame,
    "ws-orderupdates": UpdatesFrame,
    "ws-user-events": EventsFrame,
    "ws-post": PostFrame,
    "ws-error": ErrorFrame,
    "ws-subscribe-ack": AckFrame,
    "ws-ping-pong": PongFrame,
    "ws-openorders": OtherFrame,
    "ws-clearinghousestate": OtherFrame,
    "ws-userfundings": OtherFrame,
    "ws-usernonfundingledgerupdates": LedgerFrame,
    "ws-spotstate": OtherFrame,
    "ws-notification": OtherFrame,
    "ws-webdata3": OtherFrame,
}
BODIES: dict[str, Any] = {
    "info-userfills": list[WireFill],
    "info-orderstatus": OrderAnswer,
    "info-clearinghousestate": WireState,
    "info-openorders": list[OpenOrder],
    "info-frontendopenorders": list[OpenOrder],
}


def items(names: Any) -> list[Any]:
    found = [
        pytest.param(name, item, id=f"{name}:{item['id']}")
        for name in names
        if (EXAMPLES / f"{name}.json").exists()
        for item in json.loads((EXAMPLES / f"{name}.json").read_text())["items"]
        if item.get("dir") != "send"
    ]
    mark = pytest.mark.skip(reason="the venue's examples are not here")
    return found or [pytest.param("", None, marks=mark)]


def listed(*coins: str) -> Reading:
    return Reading(
        InstrumentListed(NOW, number, "hyperliquid", coin, 8, 8, kind="perp")
        for number, coin in enumerate(coins, start=1)
    )


@pytest.mark.parametrize(("name", "item"), items(FRAMES))
def test_every_frame_about_an_account_is_read(name: str, item: dict[str, Any]) -> None:
    frame = decode_account_message(json.dumps(item["frame"]))
    assert isinstance(frame, FRAMES[name])


@pytest.mark.parametrize(("name", "item"), items(BODIES))
def test_every_answer_about_an_account_is_read(name: str, item: dict[str, Any]) -> None:
    found = decode_body(json.dumps(item["response"]).encode(), BODIES[name])
    if isinstance(found, list):
        assert len(found) == len(item["response"])


@pytest.mark.parametrize(("name", "item"), items(["info-userrole-extraagents"]))
def test_the_role_of_an_address_is_read_and_a_list_of_agents_is_no_role(
    name: str, item: dict[str, Any]
) -> None:
    body = json.dumps(item["response"]).encode()
    if item["request"]["type"] == "userRole":
        assert decode_body(body, Role).role == item["response"]["role"]
    else:
        with pytest.raises(VenueProtocolError):
            decode_body(body, Role)


@pytest.mark.parametrize(("name", "item"), items(["ws-userfills", "info-userfills"]))
def test_fills_are_exact_and_a_fee_is_never_less(name: str, item: dict[str, Any]) -> None:
    rows = item["frame"]["data"]["fills"] if name.startswith("ws") else item["response"]
    reading = listed(*dict.fromkeys(row["coin"] for row in rows))
    for row in rows:
        (wire,) = decode_body(json.dumps([row]).encode(), list[WireFill])
        fill = reading.fill(wire, NOW)
        assert isinstance(fill, OrderFilled)
        assert (fill.venue_order_id, fill.trade_id) == (row["oid"], row["tid"])
        assert fill.liquidity == ("taker" if row["crossed"] else "maker")
        assert fill.price == round(float(row["px"]) * 10**8)
        assert row["feeToken"] == "USDC"
        assert int(fill.fee) / 10**16 == pytest.approx(float(row["fee"]), rel=1e-12, abs=1e-12)
        assert fill.client_order_id == row.get("cloid", "")


@pytest.mark.parametrize(("name", "item"), items(["ws-orderupdates"]))
def test_updates_become_reports_by_the_rule_of_their_status(name: str, item: dict[str, Any]) -> None:
    frame = decode_account_message(json.dumps(item["frame"]))
    assert isinstance(frame, UpdatesFrame)
    reading = listed(*dict.fromkeys(row.order.coin for row in frame.data))
    reported = [(row.status, reading.update(row, NOW)) for row in frame.data if row.order.cloid]
    for status, event in reported:
        expected = {"open": OrderAccepted, "canceled": OrderCanceled, "filled": type(None)}[status]
        assert type(event) is expected
        if isinstance(event, OrderCanceled):
            assert event.remaining > 0


@pytest.mark.parametrize(("name", "item"), items(["ws-user-events"]))
def test_events_are_funding_and_liquidations_without_fills(name: str, item: dict[str, Any]) -> None:
    frame = decode_account_message(json.dumps(item["frame"]))
    assert isinstance(frame, EventsFrame)
    reading = listed("BTC")
    if frame.data.funding is not None:
        paid = reading.funding(frame.data.funding, NOW)
        assert isinstance(paid, FundingPaid)
        assert int(paid.amount) / 10**paid.scale == float(frame.data.funding.usdc)
    if frame.data.liquidation is not None:
        assert isinstance(reading.liquidation(frame.data.liquidation, NOW), Liquidated)


@pytest.mark.parametrize(("name", "item"), items(["info-orderstatus"]))
def test_a_queried_order_has_a_state(name: str, item: dict[str, Any]) -> None:
    answer = decode_body(json.dumps(item["response"]).encode(), OrderAnswer)
    read = listed("ETH").answer(answer, "0x" + "0" * 32, NOW, NOW, 1)
    assert isinstance(read, OrderRead)
    assert read.state == {"order": "filled", "unknownOid": "absent"}[answer.status]


def test_v04_no_mutation_of_an_example_raises_anything_but_the_one_error() -> None:
    """20,000 frames with bytes changed, cut, doubled or swapped; seeded."""
    chance = Random(3)
    texts = [json.dumps(param.values[1]["frame"]) for param in items(FRAMES) if param.values[0]]
    if not texts:
        pytest.skip("the venue's examples are not here")
    reading = listed("BTC", "ETH")
    refused = 0
    for _ in range(20_000):
        data = bytearray(texts[chance.randrange(len(texts))].encode())
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 9)]
                case 2:
                    data[at:at] = data[at : at + chance.randint(1, 9)]
                case _:
                    data[at:at] = chance.choice([b'"', b"}", b"null", b"-", b"1e9", b"[", b"\xff"])
            if not data:
                data += b"{"
        try:
            frame = decode_account_message(bytes(data))
            if isinstance(frame, FillsFrame):
                for row in frame.data.fills:
                    reading.fill(row, NOW)
            elif isinstance(frame, UpdatesFrame):
                for update in frame.data:
                    reading.update(update, NOW)
                    reading.executed(update)
            elif isinstance(frame, EventsFrame) and frame.data.funding is not None:
                reading.funding(frame.data.funding, NOW)
            elif isinstance(frame, LedgerFrame):
                for moved in frame.data.non_funding_ledger_updates:
                    reading.transfer(moved, NOW)
        except VenueProtocolError:
            refused += 1
    assert 5_000 < refused < 20_000
