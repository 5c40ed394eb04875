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
    AccountMarked,
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
from tests.simulation.machine import KEYS, ROOT, make_builder
from tests.simulation.risk import forbidden_openings
from tests.simulation.served import Fill, Served, Truth

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

__all__ = ["check"]

CENT = Decimal("0.01")
OBJECTS_MAX = 150
"""Days without a fault of the engine end with 30 to 60 more objects than they had at the beginning."""


def check(simulation: Simulation) -> None:
    """Check everything; what does not hold is noted in the simulation."""
    try:
        records = _records(simulation)
    except EngineError as error:
        simulation.fail("I3", f"the journal cannot be read: {error}")
        return
    _check_journal(simulation)
    real = simulation.scenario.mode == "live"
    for venue in simulation.venues:
        if real:
            truth = venue.truth()
            _check_fills(simulation, venue, truth, records)
            _check_account(simulation, venue, truth, records)
            _check_orders(simulation, venue, truth, records)
        _check_bars(simulation, venue, records)
    if real:
        _check_money(simulation, records)
    for wire in simulation.wires:
        if wire.actions and not real:
            simulation.fail("L09", f"on paper the venue was sent {dict(wire.actions)}")
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


def _listed(records: list[Event], venue: str) -> dict[int, InstrumentListed]:
    """Return the newest listings of a venue's instruments by number."""
    return {
        one.instrument: one for one in records if isinstance(one, InstrumentListed) and one.venue == venue
    }


def _check_fills(simulation: Simulation, venue: Served, truth: Truth, records: list[Event]) -> None:
    """The fills of the journal are those of the venue, each once (I7)."""
    listed = _listed(records, venue.venue)
    ours: dict[tuple[int, int], Fill] = {}
    for fill in records:
        if isinstance(fill, OrderFilled) and fill.instrument in listed:
            one = listed[fill.instrument]
            price = Decimal(int(fill.price)).scaleb(-one.price_scale - fill.finer)
            size = Decimal(int(fill.size)).scaleb(-one.size_scale)
            fee = Decimal(int(fill.fee)).scaleb(-one.price_scale - one.size_scale - fill.finer)
            ours[int(fill.trade_id), fill.venue_order_id] = Fill(one.name, price, size, fee)
    simulation.counts["fills at the venue"] += len(truth.fills)
    simulation.counts[f"fills at {venue.venue}"] = len(truth.fills)
    if ours != truth.fills:
        odd = sorted(set(ours.items()) ^ set(truth.fills.items()))[:3]
        simulation.fail("I7", f"fills at {venue.venue} differ: {odd}")


def _check_account(simulation: Simulation, venue: Served, truth: Truth, records: list[Event]) -> None:
    """The positions of the books, and the equity, are the venue's (I7)."""
    listed = _listed(records, venue.venue)
    newest: dict[tuple[str, int], int] = {}
    for change in records:
        if isinstance(change, PositionChanged) and change.instrument in listed:
            newest[change.strategy, change.instrument] = change.size
    ours: dict[str, Decimal] = {}
    for (_, number), size in newest.items():
        one = listed[number]
        ours[one.name] = ours.get(one.name, Decimal(0)) + Decimal(size).scaleb(-one.size_scale)
    ours = {name: size for name, size in ours.items() if size}
    if ours != truth.positions:
        simulation.fail("I7", f"positions {ours}, {venue.venue} has {truth.positions}")
    marks: list[EquityMarked | AccountMarked]
    if len(simulation.venues) > 1:
        marks = [one for one in records if isinstance(one, AccountMarked) and one.venue == venue.venue]
    else:
        marks = [one for one in records if isinstance(one, EquityMarked)]
    if marks and not truth.positions:
        equity = Decimal(int(marks[-1].equity)).scaleb(-marks[-1].scale)
        if abs(equity - truth.equity) >= CENT:
            simulation.fail("I7", f"equity {equity}, {venue.venue} has {truth.equity}")


def _check_money(simulation: Simulation, records: list[Event]) -> None:
    """There is no money that nothing explains, and the equity is the sum of the accounts (I7)."""
    odd = [one for one in records if isinstance(one, AccountAdjusted) and one.reason == "unexplained"]
    left = sum((Decimal(int(one.amount)).scaleb(-one.scale) for one in odd), Decimal(0))
    simulation.counts["unexplained"] = len(odd)
    if odd:
        simulation.fail("I7", f"money that nothing explains: {left} in {len(odd)} differences, as {odd[0]}")
    if len(simulation.venues) < 2:
        return
    known: dict[str, Decimal] = {}
    for event in records:
        if isinstance(event, AccountMarked):
            known[event.venue] = Decimal(int(event.equity)).scaleb(-event.scale)
        elif isinstance(event, EquityMarked) and len(known) == len(simulation.venues):
            equity = Decimal(int(event.equity)).scaleb(-event.scale)
            if abs(equity - sum(known.values())) >= CENT:
                simulation.fail("I7", f"equity {equity} is not the sum of the accounts {known}: {event}")
                return


def _check_orders(simulation: Simulation, venue: Served, truth: Truth, records: list[Event]) -> None:
    """An order that counts as never placed is not at the venue, and what is open there is known (I10)."""
    listed = _listed(records, venue.venue)
    states = {
        one.client_order_id: one.state
        for one in records
        if isinstance(one, OrderChanged) and one.instrument in listed
    }
    for name, status in truth.placed.items():
        if states.get(name) == "Rejected":
            simulation.fail("I10", f"order {name} counts as rejected; at {venue.venue} it is {status}")
    live = {name for name, state in states.items() if state not in ENDED}
    if not truth.opened <= live:
        left = sorted(truth.opened - live)[:3]
        simulation.fail("I10", f"open at {venue.venue}, ended in the journal: {left}")


def _check_bars(simulation: Simulation, venue: Served, records: list[Event]) -> None:
    """A bar that says it is complete has every trade of its window, and no other, in each revision (I8).

    A candle of the second venue does not count aggregated trades, and then the bar has no count.
    While the venue is silent about one channel of a connection that lives, only the last revision has to:
    nothing on the connection shows it.
    """
    newest = {
        (bar.instrument, bar.interval_ns, bar.start_ns): bar for bar in records if isinstance(bar, BarClosed)
    }
    listed, numbers = _listed(records, venue.venue), venue.names
    for bar in records:
        if not isinstance(bar, BarClosed) or bar.instrument not in listed:
            continue
        simulation.counts["bars incomplete" if bar.incomplete else "bars complete"] += 1
        end_ns = bar.start_ns + bar.interval_ns
        if bar.incomplete or venue.spoiled_in(bar.start_ns, end_ns):
            continue
        is_last = bar is newest[bar.instrument, bar.interval_ns, bar.start_ns]
        if not is_last and venue.silenced_in(bar.start_ns, end_ns):
            continue
        truth = venue.window(numbers[listed[bar.instrument].name], bar.start_ns, end_ns)
        prices = [trade.price for trade in truth]
        expected = (len(truth), sum(trade.size for trade in truth))
        same = not prices or (bar.open, bar.high, bar.low, bar.close) == (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
        )
        uncounted = bar.source == "venue" and not venue.counts_candles
        count = len(truth) if uncounted else bar.trades
        if (count, bar.volume) != expected or not same:
            simulation.fail("I8", f"a complete bar differs from the venue's {expected}: {bar}")
            return


def _check_marks(simulation: Simulation, records: list[Event]) -> None:
    """No actor failed, no key is in any file (I12), and neither tasks nor objects grew (I11)."""
    for failed in records:
        if isinstance(failed, ActorFailed):
            simulation.fail("actor", f"{failed}")
            break
    for name, data in simulation.machine.disk.files().items():
        if any(key.encode() in data for key in KEYS):
            simulation.fail("I12", f"{name} holds a key")
    before, after = simulation.tasks
    if after > before + 10:
        simulation.fail("I11", f"{before} tasks at the beginning, {after} at the end")
    before, after = simulation.objects
    if after > before + OBJECTS_MAX:
        simulation.fail("I11", f"{before} objects of the engine at the beginning, {after} at the end")
