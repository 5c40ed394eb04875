"""The order manager and its parts: from what a strategy asks for to an approved order."""

from engine.actors.orders.actor import OrderManager

__all__ = ["OrderManager"]
