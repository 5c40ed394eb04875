"""The part of the order manager that operators and failures reach: commands, halts, restarts.

Owns the handlers; what they do is in `commands`, `halts` and `targets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Emit, handles
from engine.actors.orders.command_state import Answer, Setting, Working
from engine.actors.orders.prices import PriceFollower
from engine.events import (
    ActorFailed,
    ActorRestarted,
    CommandAnswered,
    EngineHalted,
    MarketHalted,
    OperatorCommand,
)

if TYPE_CHECKING:
    from engine.actors.orders.commands import Commands
    from engine.actors.orders.targets import Targets

__all__ = ["Operated"]


class Operated(PriceFollower):
    """Base class of the order manager.

    State: `answers` to commands, and commands that are `working`, by nonce, oldest first; `settings` that
    operators have changed, by strategy.
    """

    answers: dict[str, Answer]
    working: dict[str, Working]
    settings: dict[str, Setting]
    targets: Targets
    commands: Commands

    @handles(OperatorCommand)
    def apply_command(self, command: OperatorCommand, emit: Emit) -> None:
        """Apply an operator's command."""
        self.commands.take(command, emit)

    @handles(EngineHalted)
    def note_halt(self, halted: EngineHalted, emit: Emit) -> None:
        """Withdraw the openings of all targets."""
        self.requests.drop_openings(halted.at_ns, emit)
        self.targets.clamp(halted.at_ns, emit)

    @handles(MarketHalted)
    def note_market_halt(self, halted: MarketHalted, emit: Emit) -> None:
        """Withdraw the openings of targets of one market."""
        self.gates.halts.note_market(halted)
        self.requests.drop_openings(halted.at_ns, emit, instrument=halted.instrument)
        self.targets.clamp(halted.at_ns, emit, instrument=halted.instrument)

    @handles(ActorFailed)
    def note_failure(self, failed: ActorFailed, emit: Emit) -> None:
        """Withdraw the openings of a strategy that failed; its exits and protection go on."""
        self.gates.failed(failed, emit)
        self.requests.drop_openings(failed.at_ns, emit, owner=failed.actor)
        self.targets.clamp(failed.at_ns, emit, owner=failed.actor)
        self.commands.failed(failed, emit)

    @handles(ActorRestarted)
    def note_restart(self, restarted: ActorRestarted, emit: Emit) -> None:
        """Let a restarted strategy open again."""
        self.gates.restarted(restarted)
        self.commands.restarted(restarted, emit)

    @handles(CommandAnswered)
    def note_answer(self, answer: CommandAnswered, emit: Emit) -> None:
        """Keep the answer that the actor of a strategy gives."""
        self.commands.note_answer(answer)
