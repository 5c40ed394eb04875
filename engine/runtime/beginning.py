"""What a person decides at a start: which strategy may begin without its state, and which book moves.

A strategy that begins without its state does not know what its book holds, unless it asks. With real orders
such a start is refused before anything is written, unless a person allows it by name. Called by the live
session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from engine.actors import Books, OrderManager
from engine.beginnings import NOT_CONFIGURED
from engine.config import Config, nearest
from engine.errors import SafetyRefusal, UsageError
from engine.events import InstrumentListed, StrategyBegan
from engine.instruments import Instruments
from engine.runtime.notices import Notice
from engine.sequencer import Sequencer
from engine.values import format_scaled

__all__ = [
    "Moves",
    "beginning_lines",
    "check_names",
    "halt_lines",
    "operator_lines",
    "refuse_beginnings",
    "unpriced_lines",
]

Moves = tuple[tuple[str, str], ...]
"""(old, new) names of strategies."""

_LABELS_MAX: Final = 4


def check_names(sequencer: Sequencer, config: Config, fresh: Sequence[str], moves: Moves) -> None:
    """Raise UsageError for a name of --fresh or --move that does not fit what the journal holds."""
    configured = [entry.title for entry in config.strategies]
    owning = _owning(sequencer)
    before = [name for name, _, _ in sequencer.session.strategies] if sequencer.session is not None else []
    known = list(dict.fromkeys([*configured, *owning, *before]))
    for name in fresh:
        if name not in known:
            raise UsageError(f"--fresh {name}: there is no such strategy; {nearest(name, known)}")
    for number, (old, new) in enumerate(moves):
        what = f"--move {old}={new}"
        if new not in configured:
            raise UsageError(f"{what}: no strategy is named {new!r}; {nearest(new, configured)}")
        if old in configured:
            raise UsageError(f"{what}: {old!r} is configured too, so it keeps what it holds; name another")
        if old not in [*owning, *before]:
            others = [name for name in [*owning, *before] if name not in configured]
            near = nearest(old, others) if others else "every book belongs to a configured strategy"
            raise UsageError(f"{what}: the journal has no book of {old!r}; {near}")
        if new in owning:
            raise UsageError(f"{what}: {new!r} has a position or orders of its own; close them first")
        if any(old == one or new == other for one, other in moves[:number]):
            raise UsageError(f"{what}: each name can be moved once")


def refuse_beginnings(
    began: Iterable[StrategyBegan],
    fresh: Sequence[str],
    moves: Moves,
    instruments: Instruments,
) -> None:
    """Raise SafetyRefusal unless a person allowed each of these starts that has a position."""
    allowed = {*fresh, *(new for _, new in moves)}
    refused = [one for one in began if one.positions and one.name not in allowed]
    if refused:
        lines = "; ".join(f"{_subject(one)}: {_words(one, instruments)}" for one in refused)
        names = " ".join(f"--fresh {one.name}" for one in refused)
        raise SafetyRefusal(
            f"{lines}. {names} keeps the position and starts so; --move OLD=NEW gives what OLD holds to NEW"
        )


def beginning_lines(
    began: Iterable[StrategyBegan], without: Mapping[str, str], instruments: Instruments
) -> list[Notice]:
    """Return a line for each strategy that began without its state, and for each book without a strategy."""
    held = {one.name: one for one in began}
    lines = []
    for name, why in without.items():
        one = held.get(name)
        holds = _holds(one, instruments) if one is not None else ""
        lines.append(Notice(f"strategy {name}", "reset", f"begins without its {why}{holds}"))
    others = [one for one in held.values() if one.name not in without]
    return lines + [Notice(_subject(one), "reset", _words(one, instruments)) for one in others]


def halt_lines(manager: OrderManager) -> list[Notice]:
    """Return a line for each halt and pause that an earlier session left."""
    gates = manager.gates
    lines = {
        **(
            {"orders": f"{gates.halted}; no order is approved until `engine ctl resume` lifts it"}
            if gates.halted
            else {}
        ),
        **{market: f"{why}; `engine ctl resume` lifts it" for market, why in gates.halted_markets.items()},
    }
    for name in gates.paused:
        lines[f"strategy {name}" if name else "strategies"] = (
            "paused by an operator; `engine ctl resume` lifts it"
        )
    return [Notice(name, "halted", detail) for name, detail in lines.items()]


def operator_lines(manager: OrderManager) -> list[Notice]:
    """Return a line for each strategy that an operator stopped or set in an earlier session."""
    lines = [
        Notice(f"strategy {name}", "stopped", "by an operator; `engine ctl restart` lets it run again")
        for name in manager.gate.stopped
    ]
    for name, setting in manager.settings.items():
        values = ", ".join(f"{key} = {value}" for key, value in setting.values.items())
        lines.append(Notice(f"strategy {name}", "set", f"by an operator: {values}"))
    return lines


def unpriced_lines(manager: OrderManager, listed: Sequence[InstrumentListed]) -> list[Notice]:
    """Return a line for each currency of a session's markets that no limit can be compared with."""
    currencies = manager.gates.limits.currencies
    markets: dict[str, list[str]] = {}
    for one in listed:
        if one.rules.quote not in ("", currencies.own) and not currencies.is_other(one):
            markets.setdefault(one.rules.quote, []).append(manager.instruments.label(one.instrument))
    return [
        Notice(
            "account",
            "unvalued",
            f"[account] prices has no price of {quote} in {currencies.own}: no limit on losses counts what is"
            f" gained and lost in {_some(labels)}, and [risk] values are in {quote} there",
        )
        for quote, labels in markets.items()
    ]


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _LABELS_MAX} more" if len(labels) > _LABELS_MAX else ""
    return ", ".join(labels[:_LABELS_MAX]) + more


def _subject(began: StrategyBegan) -> str:
    return f"book {began.name}" if began.why == NOT_CONFIGURED else f"strategy {began.name}"


def _words(began: StrategyBegan, instruments: Instruments) -> str:
    """Return what is said of a start: why, and what the book holds."""
    why = began.why if began.why == NOT_CONFIGURED else f"begins without its state: {began.why}"
    return f"{why}{_holds(began, instruments)}"


def _holds(began: StrategyBegan, instruments: Instruments) -> str:
    held = ", ".join(
        f"{format_scaled(size, instruments[number].size_scale)} {instruments.label(number)}"
        for number, size in began.positions
    )
    return f"; its book holds {held}" if held else ""


def _owning(sequencer: Sequencer) -> list[str]:
    """Return the names that have a position, a live order or a stop."""
    if sequencer.session is None:
        return []
    books, manager = sequencer.actor("books"), sequencer.actor("orders")
    assert isinstance(books, Books)
    assert isinstance(manager, OrderManager)
    owners = [owner for _, owner, book in books.all_books() if book.size]
    owners += [live.owner for live in manager.live.values()]
    owners += [stop.owner for stops in manager.stops.values() for stop in stops.values()]
    return sorted(dict.fromkeys(owners))
