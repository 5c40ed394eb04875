"""Strategies: the base class authors build on, and the example."""

from engine.strategies.base import PerMarket, Strategy
from engine.strategies.views import Bar, Fill, Tick, Touch

__all__ = ["Bar", "Fill", "PerMarket", "Strategy", "Tick", "Touch"]
