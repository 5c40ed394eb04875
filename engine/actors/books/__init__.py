"""The books: who owns which position, what it cost, and what the account is worth."""

from engine.actors.books.actor import Books

__all__ = ["Books"]
