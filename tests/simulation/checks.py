"""What must hold after a simulation (the invariants of the catalogue, I1 to I14).

Compares the journal on the simulated disk with the venue's truth: its account, its fills, the tape it played.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.events import (
    ENDED,
    AccountAdjusted,
    ActorFailed,
    BarClosed,
    EquityMarked,
    Event,
    InstrumentListed,
    OrderChanged,
    OrderFilled,
    PositionChanged,
)
from engine.journal import list_days, read_frames
from engine.records import JournalHistory, open_day, read_records
from replay.verification import replay_day
from tests.live.kit import KEY
from tests.simulation.machine import ROOT, make_builder
from tests.simulation.risk import forbidden_openings

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

__all__ = ["check"]

CENT = Decimal("0.01")


def check(simulation: Simulation) -> None:
    """Check everything; what does not hold is noted in the simulation."""
    try:
        records = _records(simulation)
    except EngineError as error:
        simulation.fail("I3", f"the journal cannot be read: {error}")
        return
    _check_journal(simulation)
    real = simulation.scenario.mode == "live"
    if real:
        _check_fills(simulation, records)
        _check_account(simulation, records)
        _check_orders(simulation, records)
    elif simulation.wire.actions:
        simulation.fail("L09", f"on paper the venue was sent {dict(simulation.wire.actions)}")
    _check_bars(simulation, records)
    store = simulation.machine.store
    if store is not None and (difference := store.difference()):
        simulation.fail("I14", f"rows differ from those made again: {difference}")
    for words in forbidden_openings(records, simulation.machine.config.risk, real=real)[:1]:
        simulation.fail("I9", words)
    _check_marks(simulation, records)


def _records(simulation: Simulation) -> list[Event]:
    """Return all events of the journal; replay each day (I4)."""
    disk = simulation.machine.disk
    records: list[Event] = []
    for day in list_days(ROOT, disk):
        simulation.counts["days"] += 1
        records += [record[2] for record in read_records(day.path, disk)]
        report, _ = replay_day(open_day(day.path, disk), make_builder(), history=JournalHistory(ROOT, disk))
        if not report.identical:
            simulation.fail("I4", f"{day.path.name} does not replay: {report.divergence}")
    simulation.counts["records"] = len(records)
    for event in records:
        simulation.counts[event.__class__.__name__] += 1
    return records


def _check_journal(simulation: Simulation) -> None:
    """Every frame that was acknowledged before a kill is in the journal, with its digest (I1, I2)."""
    disk = simulation.machine.disk
    digests = {
        frame.last_seq: frame.digest
        for day in list_days(ROOT, disk)
        for frame in read_frames(day.path, disk=disk)
    }
    for seq, digest in simulation.machine.acknowledged:
        if seq and digests.get(seq) != digest:
            simulation.fail("I1", f"seq {seq} was acknowledged before a kill and is lost")
    for reason in simulation.machine.stops:
        if reason.startswith(("JournalDamaged", "JournalBehindWitness")):
            simulation.fail("I3", reason)


def _check_fills(simulation: Simulation, records: list[Event]) -> None:
    """The fills of the journal are those of the venue, each once (I7)."""
    listed = {one.instrument: one for one in records if isinstance(one, InstrumentListed)}
    ours: dict[tuple[int, int], tuple[str, Decimal, Decimal, Decimal]] = {}
    for fill in records:
        if isinstance(fill, OrderFilled):
            one = listed[fill.instrument]
            price = Decimal(int(fill.price)).scaleb(-one.price_scale - fill.finer)
            size = Decimal(int(fill.size)).scaleb(-one.size_scale)
            fee = Decimal(int(fill.fee)).scaleb(-one.price_scale - one.size_scale - fill.finer)
            ours[int(fill.trade_id), fill.venue_order_id] = (one.name, price, size, fee)
    theirs = {
        (row["tid"], row["oid"]): (row["coin"], Decimal(row["px"]), Decimal(row["sz"]), Decimal(row["fee"]))
        for row in simulation.venue.ask("userFillsByTime", startTime=0)
    }
    simulation.counts["fills at the venue"] = len(theirs)
    if ours != theirs:
        simulation.fail("I7", f"fills differ: {sorted(set(ours.items()) ^ set(theirs.items()))[:3]}")


def _check_account(simulation: Simulation, records: list[Event]) -> None:
    """The positions of the books, and the equity, are the venue's (I7)."""
    listed = {one.instrument: one for one in records if isinstance(one, InstrumentListed)}
    newest: dict[tuple[str, int], int] = {}
    for change in records:
        if isinstance(change, PositionChanged):
            newest[change.strategy, change.instrument] = change.size
    ours: dict[str, Decimal] = {}
    for (_, number), size in newest.items():
        one = listed[number]
        ours[one.name] = ours.get(one.name, Decimal(0)) + Decimal(size).scaleb(-one.size_scale)
    ours = {name: size for name, size in ours.items() if size}
    state = simulation.venue.ask("clearinghouseState")
    theirs = {one["position"]["coin"]: Decimal(one["position"]["szi"]) for one in state["assetPositions"]}
    theirs = {name: size for name, size in theirs.items() if size}
    if ours != theirs:
        simulation.fail("I7", f"positions {ours}, the venue has {theirs}")
    marks = [one for one in records if isinstance(one, EquityMarked)]
    if marks and not theirs:
        equity = Decimal(int(marks[-1].equity)).scaleb(-marks[-1].scale)
        value = Decimal(state["marginSummary"]["accountValue"])
        if abs(equity - value) >= CENT:
            simulation.fail("I7", f"equity {equity}, the venue has {value}")
    odd = [one for one in records if isinstance(one, AccountAdjusted) and one.reason == "unexplained"]
    left = sum((Decimal(int(one.amount)).scaleb(-one.scale) for one in odd), Decimal(0))
    simulation.counts["unexplained"] = len(odd)
    if odd:
        simulation.fail("I7", f"money that nothing explains: {left} in {len(odd)} differences, as {odd[0]}")


def _check_orders(simulation: Simulation, records: list[Event]) -> None:
    """An order that counts as never placed is not at the venue, and what is open there is known (I10)."""
    states = {one.client_order_id: one.state for one in records if isinstance(one, OrderChanged)}
    for row in simulation.venue.ask("historicalOrders"):
        name, status = row["order"].get("cloid"), row["status"]
        placed = status in ("open", "filled", "triggered") or Decimal(row["order"]["origSz"]) != Decimal(
            row["order"]["sz"]
        )
        if name is not None and placed and states.get(name) == "Rejected":
            simulation.fail("I10", f"order {name} counts as rejected; at the venue it is {status}")
    live = {name for name, state in states.items() if state not in ENDED}
    opened = {row["cloid"] for row in simulation.venue.ask("frontendOpenOrders") if row.get("cloid")}
    if not opened <= live:
        simulation.fail("I10", f"open at the venue, ended in the journal: {sorted(opened - live)[:3]}")


def _check_bars(simulation: Simulation, records: list[Event]) -> None:
    """A bar that says it is complete has every trade of its window, and no other, in each revision (I8).

    While the venue is silent about one channel of a connection that lives, only the last revision has to:
    nothing on the connection shows it.
    """
    newest = {
        (bar.instrument, bar.interval_ns, bar.start_ns): bar for bar in records if isinstance(bar, BarClosed)
    }
    names = {one.instrument: one.name for one in records if isinstance(one, InstrumentListed)}
    numbers = {one.name: one.listed.instrument for one in simulation.venue._market.instruments}
    for bar in records:
        if not isinstance(bar, BarClosed):
            continue
        simulation.counts["bars incomplete" if bar.incomplete else "bars complete"] += 1
        end_ns = bar.start_ns + bar.interval_ns
        if bar.incomplete or simulation.venue.spoiled_in(bar.start_ns, end_ns):
            continue
        is_last = bar is newest[bar.instrument, bar.interval_ns, bar.start_ns]
        if not is_last and simulation.venue.silenced_in(bar.start_ns, end_ns):
            continue
        truth = simulation.venue.window(numbers[names[bar.instrument]], bar.start_ns, end_ns)
        prices = [trade.price for trade in truth]
        expected = (len(truth), sum(trade.size for trade in truth))
        same = not prices or (bar.open, bar.high, bar.low, bar.close) == (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
        )
        if (bar.trades, bar.volume) != expected or not same:
            simulation.fail("I8", f"a complete bar differs from the venue's {expected}: {bar}")
            return


def _check_marks(simulation: Simulation, records: list[Event]) -> None:
    """No actor failed, no key is in any file (I12), and tasks did not grow (I11)."""
    for failed in records:
        if isinstance(failed, ActorFailed):
            simulation.fail("actor", f"{failed}")
            break
    for name, data in simulation.machine.disk.files().items():
        if KEY[2:].encode() in data:
            simulation.fail("I12", f"{name} holds the key")
    before, after = simulation.tasks
    if after > before + 10:
        simulation.fail("I11", f"{before} tasks at the beginning, {after} at the end")
