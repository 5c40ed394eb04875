"""The public names for writing a strategy: the base class, and the types of its hooks and verbs.

`crossover.py` is an example strategy.
"""

from engine.strategies.base import PerMarket, Strategy
from engine.strategies.chance import Random
from engine.strategies.flow_views import BookSample, Flow, Footprint, LargePrint, Profile, StackedImbalance
from engine.strategies.literals import OrderState, Side, TakerSide, Tif, TriggerKind
from engine.strategies.verbs import Number
from engine.strategies.views import Bar, Book, Context, Fill, Funding, OrderView, Tick, Touch

__all__ = [
    "Bar",
    "Book",
    "BookSample",
    "Context",
    "Fill",
    "Flow",
    "Footprint",
    "Funding",
    "LargePrint",
    "Number",
    "OrderState",
    "OrderView",
    "PerMarket",
    "Profile",
    "Random",
    "Side",
    "StackedImbalance",
    "Strategy",
    "TakerSide",
    "Tick",
    "Tif",
    "Touch",
    "TriggerKind",
]
