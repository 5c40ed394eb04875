"""Follows the records of a session with the model, and derives the session again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from random import Random
from typing import Protocol

from engine.actors.orders.command_state import Answer
from engine.events import DayOpened, Event, TimerFired, engine_time
from engine.events.codec import Derived, Record, encode_derived
from engine.sequencer import Sequencer
from replay.verification import DayReplay
from tests.orders.facts import Broken, Read
from tests.orders.invariants import check_end, check_turn
from tests.orders.losses import Losses
from tests.orders.margin import Margin
from tests.orders.model import Model
from tests.orders.outcomes import Outcomes
from tests.orders.paper_fills import PaperFills
from tests.orders.protection import Protection
from tests.orders.session import BUILDER
from tests.orders.settings import Settings
from tests.replay.kit import Memory

__all__ = ["Played", "assert_replays", "check", "turns"]


class Played(Protocol):
    """A session that has been played: its settings, its records, and what its strategies read."""

    settings: Settings
    memory: Memory

    @property
    def names(self) -> Sequence[str]:
        """Return the strategies in configured order."""
        ...

    @property
    def mode(self) -> str:
        """Return "paper" or "live"."""
        ...

    def answers(self) -> Mapping[str, Answer]:
        """Return the answers to operators' commands that the engine knows at the end, by nonce."""
        ...

    def tuned(self) -> Mapping[str, str]:
        """Return the parameter that operators set, of each strategy where it is not its default."""
        ...

    @property
    def reads(self) -> Mapping[int, list[Read]]:
        """Return what strategies read and called, by the id of the event they handled."""
        ...


def check(session: Played, *, calm: bool = False, rests: Collection[int] = ()) -> Broken | None:
    """Follow a session's records with the model; return the first that breaks a rule, None if none does.

    `calm`: the session ended calmly, so nothing may be left; the same after the turns that end at the seqs
    of `rests`.
    """
    settings = session.settings
    model = Model(session.names, Fraction(settings.cash), real=session.mode == "live")
    fills = (
        PaperFills(
            model,
            settings.latency_ms,
            Fraction(settings.taker_fee),
            Fraction(settings.maker_fee),
            settings.slippage_bps,
            settings.fill_on_touch,
        )
        if session.mode == "paper"
        else None
    )
    margin = Margin(model, fills, candles=settings.data == "candles")
    losses = Losses(model, Fraction(settings.daily_loss), Fraction(settings.drawdown_percent))
    protection = Protection(model, candles=settings.data == "candles")
    outcomes = Outcomes(model)
    try:
        for turn in turns(session.memory.all()):
            model.begin_turn(turn)
            if fills is not None:
                fills.begin_turn(turn[0][0], turn[0][2])
            for seq, cause, event in turn:
                model.follow(seq, event, engine_time(event))
                outcomes.follow(seq, cause, event)
                for read in session.reads.get(id(event), ()):
                    model.hear(read)
                protection.follow(event)
                margin.follow(event)
                losses.follow(event)
                if fills is not None:
                    fills.follow(seq, event)
            check_turn(model)
            protection.check_turn()
            margin.check_turn()
            losses.check_turn()
            outcomes.check_turn(turn)
            if turn[-1][0] in rests:
                check_end(model)
        if calm:
            check_end(model)
            outcomes.check_end(session.answers(), session.tuned())
    except Broken as broken:
        return broken
    return None


def turns(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Divide records into turns: each begins with an input, a timer or a day."""
    turn: list[Record] = []
    for record in records:
        if turn and (not record[1] or isinstance(record[2], TimerFired | DayOpened)):
            yield turn
            turn = []
        turn.append(record)
    if turn:
        yield turn


def assert_replays(session: Played, random: Random | None = None) -> None:
    """Derive the session again: each day alone, and from a random input on after following the rest."""
    memory = session.memory
    for day in dict.fromkeys(memory.days):
        replay = DayReplay(BUILDER, memory)
        for frame in memory.day_frames(day):
            replay.feed(frame)
    if random is not None:
        _assert_continues(session, random)


class _Kept:
    """A sink that keeps records."""

    def __init__(self) -> None:
        self.derived: list[Derived] = []

    def open_day(self, day: str) -> None:
        pass

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        self.derived += derived


def _assert_continues(session: Played, random: Random) -> None:
    """Follow the records up to a random turn of the last day, then derive the rest from its inputs."""
    memory = session.memory
    records = memory.all(memory.day)
    inputs = [index for index, (_, cause, _) in enumerate(records) if not cause]
    if not inputs:
        return
    cut = random.choice(inputs)
    kept = _Kept()
    sequencer = Sequencer(BUILDER, kept, memory)
    sequencer.follow(records[:cut])
    rest = records[cut:]
    sequencer.run([event for _, cause, event in rest if not cause])
    expected = [record for record in rest if record[1]]
    assert encode_derived(kept.derived) == encode_derived(expected), (
        f"it differs after seq {records[cut][0] - 1}"
    )
