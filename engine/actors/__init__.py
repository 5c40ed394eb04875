"""The deterministic actors: functions of state and event, run by the sequencer in a fixed order."""

from engine.actors.activity import ActivityBars
from engine.actors.aggregator import Aggregator
from engine.actors.base import Actor, Because, Emit, RoutesChanged, SetTimer, State, Turn, handles
from engine.actors.execution import Execution
from engine.actors.portfolio import Portfolio
from engine.actors.risk import Risk
from engine.actors.simulated_venue import SimulatedVenue
from engine.actors.trailing import Trailing

__all__ = [
    "ActivityBars",
    "Actor",
    "Aggregator",
    "Because",
    "Emit",
    "Execution",
    "Portfolio",
    "Risk",
    "RoutesChanged",
    "SetTimer",
    "SimulatedVenue",
    "State",
    "Trailing",
    "Turn",
    "handles",
]
