"""Random sessions with real orders of the sandbox that an operator drives through the desk.

A request that gets no answer in time, because the engine was killed or its disk was slow, is made again with
its nonce, as a client does. At a rest what the operator began is undone first.
"""

from __future__ import annotations

from typing import Any

import trio

from engine.errors import CommandError
from engine.events import CommandAnswered, HaltsChanged, OperatorCommand
from engine.operator.requests import parse_request
from engine.runtime.desk import CommandAnswer
from tests.orders.commanding import undone
from tests.orders.sandbox import SandboxRun
from tests.orders.sequences import Plan, Step

__all__ = ["CommandedSandbox"]

AGAIN = ("not_recorded", "stopping", "busy")
"""Codes after which a client asks again with the same nonce."""


class CommandedSandbox(SandboxRun):
    """A session whose steps of the kind "command" go to the desk. `given` are the answers by nonce."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.given: dict[str, list[CommandAnswer]] = {}
        self.repeated = 0
        self._under_way = 0
        self._answered = trio.Event()

    async def step(self, step: Step) -> None:
        """See `SandboxRun`."""
        if step.kind == "command":
            self._under_way += 1
            self._nursery.start_soon(self._ask, *step.values)
        else:
            await super().step(step)

    async def rest(self, plan: Plan) -> None:
        """See `SandboxRun`. What the operator began is undone first."""
        self.sandbox.faults.disarm()
        if self._under_way:
            self._answered = trio.Event()
            await self._answered.wait()
        changed = self.memory.events(HaltsChanged)
        if changed and changed[-1].disarmed:  # asked for again, it was recorded after the plan's restart
            await self._end(orderly=True)
            await self._begin()
        for step in undone(10_000 + plan.number * 10):
            await self._ask(*step.values)
        await super().rest(plan)

    async def _ask(self, command: str, members: dict[str, Any], nonce: str) -> None:
        """Make a request until it is answered."""
        while True:
            desk = self.live.desk
            given = {"command": command, "nonce": nonce, "journal": desk.journal, **members}
            try:
                answer = await desk.submit(parse_request(given), "test")
                break
            except CommandError as error:
                if error.code not in AGAIN:
                    raise
                self.repeated += 1
                await trio.sleep(1)
        self.given.setdefault(nonce, []).append(answer)
        self._under_way -= self._under_way > 0
        if not self._under_way:
            self._answered.set()

    def verify(self) -> None:
        """See `SandboxRun`: and every answer that was given is recorded, once for each nonce."""
        super().verify()
        records = [one for one in self.memory.events(OperatorCommand) if one.nonce]
        assert sorted(one.nonce for one in records) == sorted(self.given), "one record for each nonce"
        recorded: dict[str, list[CommandAnswered]] = {}
        for one in self.memory.events(CommandAnswered):
            recorded.setdefault(one.nonce, []).append(one)
        for nonce, answers in self.given.items():
            for answer in answers:
                states = [(one.seq, one.state, one.code) for one in recorded[nonce]]
                assert (answer.seq, answer.state, answer.code) in states, f"{answer} is not recorded"
