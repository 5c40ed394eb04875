"""Strategies: the base class authors build on, and the example."""

from engine.strategies.base import PerMarket, Strategy
from engine.strategies.views import Bar, Book, Context, Fill, Funding, OrderView, Tick, Touch

__all__ = ["Bar", "Book", "Context", "Fill", "Funding", "OrderView", "PerMarket", "Strategy", "Tick", "Touch"]
