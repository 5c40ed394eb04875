"""The deterministic actors: functions of state and event, run by the sequencer in a fixed order."""

from engine.actors.activity import ActivityBars
from engine.actors.aggregator import Aggregator
from engine.actors.base import Actor, Because, Emit, RoutesChanged, SetTimer, State, Turn, handles
from engine.actors.books import Books
from engine.actors.execution import Execution
from engine.actors.orders import OrderManager
from engine.actors.simulated import SimulatedVenue

__all__ = [
    "ActivityBars",
    "Actor",
    "Aggregator",
    "Because",
    "Books",
    "Emit",
    "Execution",
    "OrderManager",
    "RoutesChanged",
    "SetTimer",
    "SimulatedVenue",
    "State",
    "Turn",
    "handles",
]
