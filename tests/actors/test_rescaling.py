"""What moves when an instrument is listed again with finer scales, and that no number is forgotten.

Every number in the state of an actor has either a kind (`Price`, `Size`, `Value`, ...), by which it moves, or
is named here as one that does not. A new field is in neither, and its test says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec
import pytest

from engine.actors import Actor
from engine.actors.bars import OpenBar
from engine.actors.base import State
from engine.actors.books.scaling import shifted
from engine.actors.rescaling import Change, hints_of, kind_of, rescaled
from engine.errors import JournalError
from engine.events import BarClosed, InstrumentListed, OrderTerms, Trade
from engine.registry import relist
from engine.values import InstrumentId, Money, Price, Size, Value, Volume, format_scaled
from tests.actors.harness import T
from tests.orders.real import real_config
from tests.orders.session import BUILDER
from tests.orders.settings import Settings, config_of
from tests.replay.relisting_kit import busy

CHANGE = Change(1, 10, 1000)

UNSCALED = {
    "Answer": "seq tries",
    "ActivityBarClosed": "first_id last_id number trades",
    "ActivityBars": "_doubted",
    "Aggregator": "_absurd _blind _polling _proves _too_late",
    "Aim": "asked",
    "AtVenue": "exits_missed",
    "BarClosed": "first_id last_id revision trades",
    "Book": "cost fees fills funding realized",
    "Books": "adjustments compared configured doubts effects executions halts left marked marks others "
    "owners recent scale start starting",
    "Bracket": "side",
    "Conditions": "clocks doubted late markets",
    "Correction": "cost fills finer gain net_cost net_fills price side",
    "Executed": "cost side value",
    "Execution": "_dead_man _dead_man_set _exits_missed _leverage_asked _session",
    "Flow": "deltas windows",
    "Found": "finer price",
    "Holding": "scale",
    "LargePrints": "_sizes",
    "Live": "by_number changed_from changes request_seq venue_order_id",
    "Market": "rate rate_scale",
    "Measured": "first_id level number threshold trades",
    "ModifyOrder": "side venue_order_id",
    "Net": "cost fills",
    "OpenBar": "first_id last_id revision timer_seq trades",
    "Order": "by_number changed_from changes queries side venue_order_id",
    "OrderManager": "candles counted doubted money parking priced protections reconciled",
    "OrderTerms": "side",
    "Other": "fees moved",
    "Owed": "tries",
    "Own": "count",
    "OwnOrder": "side",
    "Path": "leg",
    "Position": "cost margin",
    "Profile": "windows",
    "Profiles": "_late _proves _speed",
    "Purse": "adjustments effects marked start",
    "Series": "makes",
    "SetLeverage": "leverage",
    "SimulatedVenue": "active called cash last_order_id last_trade_id leverages liquidations scale sizes",
    "Stop": "number refusals side",
    "StrategyActor": "calls marked random seen unchecked",
    "Target": "tries",
    "Touch": "waits",
    "Trade": "aggressor trade_id",
    "Trail": "number side",
    "Turn": "request_seq",
    "VenueOrder": "submit_seq venue_order_id",
    "Waiting": "request_seq",
    "Working": "seq tries",
}
"""Fields of states, by class, whose numbers have no scale of an instrument, or follow in another way.

Counts, ids, sides, times, keys; money at a scale of its own; what an actor's own `rescale` moves.
"""


def actors() -> list[Actor]:
    """Return every kind of actor, on paper and with real orders."""
    config = busy(config_of(Settings(), {"Long": "[]"}, 0))
    found: list[Actor] = []
    for mode, one in (("paper", config), ("live", real_config(config))):
        found += BUILDER(BUILDER.start(recv_ns=T, session="0" * 16, mode=mode, config=one))
    return found


def numbers_of(hint: Any, where: str, seen: dict[type, None]) -> Iterator[str]:
    """Yield where a type holds integers without a kind, through containers, structs and events."""
    if kind_of(hint):
        return
    if get_origin(hint) is not None:
        args = get_args(hint)
        for part in args[:1] if get_origin(hint) is Annotated else args:
            yield from numbers_of(part, where, seen)
    elif hint in (int, Any):
        yield where
    elif isinstance(hint, type) and hint not in seen and _has_fields(hint):
        seen[hint] = None
        for name, of in hints_of(hint).items():
            yield from numbers_of(of, f"{hint.__name__}.{name}", seen)


def _has_fields(cls: type) -> bool:
    return issubclass(cls, msgspec.Struct) or is_dataclass(cls) or hasattr(cls, "_fields")


def unscaled() -> dict[str, str]:
    """Return the fields of states, by class, that hold integers without a kind or of an unknown type."""
    found: list[str] = []
    seen: dict[type, None] = {}
    for actor in actors():
        own = type(actor).__name__
        hints = hints_of(type(actor))
        for name in vars(actor).keys() - actor.WIRING:
            if name in hints:
                found += numbers_of(hints[name], f"{own}.{name}", seen)
            else:
                found.append(f"{own}.{name}")
    fields: dict[str, dict[str, None]] = {}
    for one in found:
        cls, _, name = one.partition(".")
        if not name.endswith(("_ns", "_ms")):
            fields.setdefault(cls, {})[name] = None
    return {cls: " ".join(sorted(names)) for cls, names in sorted(fields.items())}


def test_every_number_of_a_state_has_a_kind_or_is_known_to_have_no_scale() -> None:
    assert unscaled() == UNSCALED


class Part(State):
    price: Price
    size: Size | None
    of: OrderTerms


class Whole(State):
    instrument: InstrumentId
    parts: dict[str, Part]
    levels: dict[Price, list[tuple[Price, Size, str]]]
    worth: Value = 0
    count: int = 0


class Named(NamedTuple):
    at_ns: int
    price: Price


TERMS = OrderTerms(1, 5, 7, trigger_price=9, bound=8)
WHOLE = Whole(1, {"a": Part(3, None, TERMS)}, {4: [(5, 6, "x")]}, 10**30, 3)


def test_numbers_move_by_their_kind_through_all_that_holds_them() -> None:
    moved = rescaled(WHOLE, Whole, CHANGE)
    terms = OrderTerms(1, 5000, 70, trigger_price=90, bound=80)
    assert moved == Whole(1, {"a": Part(30, None, terms)}, {40: [(50, 6000, "x")]}, 10**34, 3)
    assert WHOLE.worth == 10**30, "the state before is not changed"


def test_what_belongs_to_another_instrument_stays_the_same_object() -> None:
    other = msgspec.structs.replace(WHOLE, instrument=2)
    held = {1: 5, 2: 7}
    assert rescaled(other, Whole, CHANGE) is other
    assert rescaled(held, dict[InstrumentId, Size], CHANGE) == {1: 5000, 2: 7}
    assert rescaled({2: 7}, dict[InstrumentId, Size], CHANGE) == {2: 7}
    assert rescaled(3, Price, CHANGE) == 3, "a number that is of no instrument"


def test_keys_lists_queues_events_and_numbers_beyond_64_bits() -> None:
    bar = BarClosed(T, 1, 60, 0, 1, 2, 3, 4, "5", 6, "timer", quote_volume=str(10**20))
    queue = deque([bar], maxlen=3)
    moved = rescaled({(1, "1m"): queue}, dict[tuple[InstrumentId, str], deque[BarClosed]], CHANGE)[1, "1m"]
    assert moved.maxlen == 3
    assert moved[0] == BarClosed(T, 1, 60, 0, 10, 20, 30, 40, 5000, 6, "timer", quote_volume=str(10**24))
    open_bar = rescaled(
        {1: OpenBar(0, 1, 2, 3, 4, 5, 6, bought=7, quote=8)}, dict[InstrumentId, OpenBar], CHANGE
    )
    assert open_bar[1] == OpenBar(0, 1, 2, 30, 40, 50, 60, bought=7000, quote=80_000)
    assert rescaled({1: Named(5, 6)}, dict[InstrumentId, Named], CHANGE) == {1: Named(5, 60)}
    assert rescaled({1: Trade(T, T, 1, 2, 3, 1)}, dict[int, Trade], CHANGE) == {
        1: Trade(T, T, 1, 20, 3000, 1)
    }
    most = 2**63 - 1
    for kind, value, expected in (
        (Volume, most, f"{most}000"),
        (Money, "-7", -70_000),
        (Size, most, most * 1000),
    ):
        assert rescaled({1: value}, dict[InstrumentId, kind], CHANGE) == {1: expected}  # type: ignore[valid-type]


def test_a_price_that_had_more_decimals_than_its_market_uses_the_new_ones() -> None:
    for price, finer, by in ((10055, 1, 0), (10055, 1, 1), (10055, 3, 1), (10055, 1, 3), (7, 0, 2)):
        moved, left = shifted(price, finer, by)
        assert format_scaled(moved, 2 + by + left) == format_scaled(price, 2 + finer)
        assert left == max(0, finer - by)


@pytest.mark.parametrize("scales", [(1, 3), (2, 2), (3, 2)])
def test_a_listing_with_fewer_decimals_is_refused(scales: tuple[int, int]) -> None:
    in_force = {1: InstrumentListed(T, 1, "sim", "AAA", 2, 3)}
    with pytest.raises(JournalError, match="never become fewer"):
        relist([], in_force, InstrumentListed(T, 1, "sim", "AAA", *scales))
    assert in_force[1].price_scale == 2
