"""What an author of a strategy imports: the base class, what its hooks are called with, what its verbs take.

Everything public is here, under one name each. `crossover.py` is the example strategy.
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
