"""The public names for writing a strategy: the base class, and the types of its hooks and verbs.

`crossover.py` is an example strategy.
"""

from engine.actors.amounts import Number
from engine.strategies.account_views import Fill, Funding, OrderView, Position
from engine.strategies.base import PerMarket, Strategy
from engine.strategies.chance import Random
from engine.strategies.flow_views import (
    BookSample,
    Flow,
    Footprint,
    LargePrint,
    LiquidationLevels,
    Profile,
    StackedImbalance,
)
from engine.strategies.literals import OrderState, Purpose, Side, TakerSide, Tif, TriggerKind
from engine.strategies.readings import Bars
from engine.strategies.views import Bar, Book, Context, Liquidation, Tick, Touch

__all__ = [
    "Bar",
    "Bars",
    "Book",
    "BookSample",
    "Context",
    "Fill",
    "Flow",
    "Footprint",
    "Funding",
    "LargePrint",
    "Liquidation",
    "LiquidationLevels",
    "Number",
    "OrderState",
    "OrderView",
    "PerMarket",
    "Position",
    "Profile",
    "Purpose",
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
