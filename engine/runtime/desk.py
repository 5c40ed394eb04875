"""Takes operators' requests into a running session, and waits for what becomes of them.

Owns the way from a checked request to its answer: the request becomes one input (`OperatorCommand`), and the
answer is what the actors decided (`CommandAnswered`). Promises: a nonce makes one record, however often it is
sent, also after a restart; nothing is answered before the command's record and its outcome are durable; a
wait is bounded, and so is the number of requests that wait. Errors are `CommandError`s: then nothing was
recorded, except for `not_recorded`, where that is not known and the same nonce asks again.

`Live` owns the desk of its session; the server calls `submit`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import trio

from engine.actors.orders.command_state import Answer
from engine.actors.orders.commands import digest
from engine.errors import CommandError
from engine.events import CommandAnswered, Event, OperatorCommand, SessionStopped
from engine.operator.requests import AnyRequest, Halt, Pause, checked, command_of
from engine.runtime.committer import Committed
from engine.runtime.starting import Starting

__all__ = ["IN_FLIGHT_MAX", "RECORD_S", "CommandAnswer", "Desk"]

IN_FLIGHT_MAX: Final = 64
"""How many requests may wait at a time; a further one is refused (`busy`). Of halts twice as many may."""

RECORD_S: Final = 10.0
"""How long the record of a command, and its first outcome, may take to be durable, in real seconds."""


class CommandAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command. `seq` is that of its record, in the journal `journal`.

    `state` is "done", "refused" or "working". `code` names the limit or rule of a refusal; `reason` is for
    people. `left` is what is still to be done, as (owner, market, size), of a cancel as (owner, market,
    order); `tries` are the attempts so far. `repeated`: the nonce was known, and this is the answer that it
    has.
    """

    journal: str
    seq: int
    nonce: str
    command: str
    state: str
    code: str = ""
    reason: str = ""
    left: tuple[tuple[str, str, str], ...] = ()
    tries: int = 0
    repeated: bool = False


class _Flight:
    """A command on its way, or one that works while a request waits for its end."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.answer: CommandAnswered | None = None
        self.answered = trio.Event()
        self.ended = trio.Event()
        self.waiting = 0


class Desk:
    """Takes requests. `journal` is the journal's id; `put` queues an input; `now_ns` is the engine's time;
    `known` returns the recorded answer of a nonce; `starting` tells how far the start is, None after it."""

    def __init__(
        self,
        journal: str,
        put: Callable[[list[Event]], object],
        now_ns: Callable[[], int],
        known: Callable[[str], Answer | None],
        starting: Starting | None = None,
    ) -> None:
        self.journal = journal
        self._put = put
        self._now_ns = now_ns
        self._known = known
        self._flights: dict[str, _Flight] = {}
        self._stopped = False
        self._starting = starting
        self._kept: dict[str, tuple[AnyRequest, str]] = {}

    def begin(self) -> None:
        """The session has begun: put what was asked during the start, in the order in which it came."""
        for request, who in self._kept.values():
            with suppress(CommandError):  # whoever still waits for it gets the error
                self._flight(command_of(request, self._now_ns(), who), isinstance(request, Halt))

    async def submit(self, request: AnyRequest, who: str = "") -> CommandAnswer:
        """Record a request and return its outcome, waiting at most `wait_s` for the end of one that works.

        Raises CommandError.
        """
        checked(request)
        halts = isinstance(request, Halt)
        if not halts and not request.journal:
            raise CommandError("journal_needed", f"name the journal it is meant for; this is {self.journal}")
        if not halts and request.journal != self.journal:
            raise CommandError(
                "other_journal", f"this engine's journal is {self.journal}, not {request.journal}; reload"
            )
        kept = await self._keep(request, who)
        command = command_of(request, self._now_ns(), who)
        repeated, flight = self._flight(command, halts)
        repeated = repeated and not kept
        flight.waiting += 1
        try:
            with trio.move_on_after(RECORD_S):
                await flight.answered.wait()
            if flight.answer is None:
                raise CommandError(
                    "not_recorded", "the command was not answered in time; send it again with the same nonce"
                )
            if flight.answer.state == "working" and request.wait_s:
                with trio.move_on_after(request.wait_s):
                    await flight.ended.wait()
            return self._answer(flight.answer, repeated)
        finally:
            flight.waiting -= 1
            self._forget(request.nonce, flight)

    async def _keep(self, request: AnyRequest, who: str) -> bool:
        """While the session starts: keep a halt or a pause, and wait for the begin. Refuse anything else.

        Returns whether it was kept by this call. Raises CommandError.
        """
        starting = self._starting
        if starting is None or starting.done.is_set():
            return False
        if not isinstance(request, Halt | Pause):
            raise CommandError("starting", f"{starting}; nothing was recorded, ask again then")
        if len(self._kept) >= IN_FLIGHT_MAX:
            raise CommandError("busy", f"{IN_FLIGHT_MAX} commands wait for the start; ask again in a moment")
        before = self._kept.setdefault(request.nonce, (request, who))[0]
        if msgspec.structs.replace(before, wait_s=request.wait_s) != request:
            raise CommandError(
                "nonce_reused", "another command had this nonce; make a new one for each ticket"
            )
        with trio.move_on_after(RECORD_S):
            await starting.done.wait()
        if not starting.done.is_set():
            raise CommandError(
                "not_recorded",
                f"{starting}; the command is kept and comes first then, ask with the same nonce",
            )
        return before is request

    def take(self, committed: Committed) -> None:
        """Follow what is durable: called for each frame, in order."""
        if any(isinstance(event, SessionStopped) for event in committed.inputs):
            self._stopped = True
        if not self._flights:
            return
        for _, _, event in committed.derived:
            if isinstance(event, CommandAnswered):
                flight = self._flights.get(event.nonce)
                if flight is not None:
                    flight.answer = event
                    flight.answered.set()
                    if event.state != "working":
                        flight.ended.set()
                    self._forget(event.nonce, flight)

    def _flight(self, command: OperatorCommand, halts: bool) -> tuple[bool, _Flight]:
        """Return whether the nonce was known, and its command on the way; put it if it was not known."""
        nonce, what = command.nonce, digest(command)
        flight = self._flights.get(nonce)
        if flight is not None:
            self._same(flight.digest, what)
            return True, flight
        if len(self._flights) >= IN_FLIGHT_MAX * (2 if halts else 1):
            raise CommandError("busy", f"{IN_FLIGHT_MAX} commands are under way; ask again in a moment")
        known = self._known(nonce)
        flight = _Flight(what)
        if known is not None:
            self._same(known.request, what)
            flight.answer = CommandAnswered(
                0,
                known.seq,
                nonce,
                known.command,
                known.state,
                known.code,
                known.reason,
                known.left,
                known.tries,
            )
            flight.answered.set()
            if known.state != "working":
                flight.ended.set()
        elif self._stopped:
            raise CommandError("stopping", "the session has ended")
        else:
            self._put([command])
        self._flights[nonce] = flight
        return known is not None, flight

    def _same(self, before: str, now: str) -> None:
        if before != now:
            raise CommandError(
                "nonce_reused", "another command had this nonce; make a new one for each ticket"
            )

    def _answer(self, answer: CommandAnswered, repeated: bool) -> CommandAnswer:
        """Return an answer; of a command that works with what is left of it now."""
        now = self._known(answer.nonce) if answer.state == "working" else None
        left, tries = (now.left, now.tries) if now is not None else (answer.left, answer.tries)
        return CommandAnswer(
            journal=self.journal,
            seq=answer.seq,
            nonce=answer.nonce,
            command=answer.command,
            state=answer.state,
            code=answer.code,
            reason=answer.reason,
            left=left,
            tries=tries,
            repeated=repeated,
        )

    def _forget(self, nonce: str, flight: _Flight) -> None:
        """Drop a command that no request waits for. One without an answer stays until it has one."""
        if not flight.waiting and flight.answered.is_set():
            self._flights.pop(nonce, None)
