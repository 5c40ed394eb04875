"""Strategies: the base class authors build on, and the example."""

from engine.strategies.base import PerMarket, Strategy
from engine.strategies.flow_views import BookSample, Footprint, LargePrint, Profile, StackedImbalance
from engine.strategies.views import Bar, Book, Context, Fill, Funding, OrderView, Tick, Touch

__all__ = [
    "Bar",
    "Book",
    "BookSample",
    "Context",
    "Fill",
    "Footprint",
    "Funding",
    "LargePrint",
    "OrderView",
    "PerMarket",
    "Profile",
    "StackedImbalance",
    "Strategy",
    "Tick",
    "Touch",
]
