"""Counters of the gateway, for tests and for the health line."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.transport.outcomes import Done, Outcome, Refused

__all__ = ["GatewayHealth"]


@dataclass(slots=True)
class GatewayHealth:
    """Counts since the gateway was made.

    `actions` were given to the sender; of the commands in them and those that were not sent, `accepted`,
    `refused`, `unsent` and `lost` count the outcomes. `jobs_high` is the highest number of jobs waiting or
    under way at a time. `fills_repeated` were received again and not reported. `reads_failed` counts readings
    of the account, queries about an order and late readings of fills without an answer.
    """

    actions: int = 0
    accepted: int = 0
    refused: int = 0
    unsent: int = 0
    lost: int = 0
    queries: int = 0
    jobs_high: int = 0
    fills: int = 0
    fills_repeated: int = 0
    connections: int = 0
    losses: int = 0
    last_loss: str = ""
    reconciliations: int = 0
    reads_failed: int = 0

    def note(self, outcome: Outcome) -> None:
        """Count the outcome of an action."""
        self.actions += 1
        if isinstance(outcome, Refused):
            self.refused += 1
        elif isinstance(outcome, Done):
            self.accepted += 1
        elif outcome.unsent:
            self.unsent += 1
        else:
            self.lost += 1

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"actions {self.actions} (accepted {self.accepted}, refused {self.refused}, "
            f"unsent {self.unsent}, lost {self.lost}), queries {self.queries}, fills {self.fills}, "
            f"losses {self.losses}, reconciled {self.reconciliations}, failed reads {self.reads_failed}"
        )
