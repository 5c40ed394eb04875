"""Books alone: what strategies order and a venue reports, and the books in exact fractions."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from engine.actors import Books
from engine.config import AccountConfig, Config, StrategyConfig, VenueConfig
from engine.events import (
    AccountRead,
    EquityMarked,
    FillBooked,
    InstrumentListed,
    OrderChanged,
    OrderFilled,
    OrderTerms,
    PositionChanged,
    PositionRead,
    SessionStarted,
    SubmitOrder,
    Trade,
)
from engine.values import format_scaled
from tests.actors.harness import LISTED, Harness, T

__all__ = ["MS", "Kit", "exact"]

MS = 1_000_000
SESSION = "a" * 16


def exact(value: object, scale: int) -> Fraction:
    """Return an exact integer, or its decimal text, at a scale as a fraction."""
    return Fraction(int(str(value)), 10**scale)


class Kit(Harness):
    """Books that have begun a session with 1,000 of cash. `S1` and `S2` are the strategies, in this order.

    Numbers are in units of the market as text ("0.5"), not in steps of its grid.
    """

    def __init__(
        self,
        *,
        cash: str = "1000",
        strategies: tuple[str, ...] = ("S1", "S2"),
        markets: Mapping[str, tuple[str, ...]] | None = None,
        real: bool = False,
        watches: bool = True,
        venue: VenueConfig | None = None,
        account: Mapping[str, Any] | None = None,
        listed: Mapping[int, InstrumentListed] = LISTED,
    ) -> None:
        traded = markets or {}
        entries = tuple(StrategyConfig(name=name, instruments=traded.get(name, ())) for name in strategies)
        self.config = Config(
            mode="live" if real else "paper",
            strategies=entries,
            account=AccountConfig(cash, **(account or {})),
            venue=venue or VenueConfig(),
        )
        super().__init__(Books(self.config, real=real, watches=watches), listed)
        self.listed = listed
        self.number = 0
        self.real = real
        self.begin()

    @property
    def books(self) -> Books:
        """The actor."""
        assert isinstance(self.actor, Books)
        return self.actor

    def begin(self, session: str = SESSION, mode: str = "") -> list[Any]:
        """Begin a session."""
        name = mode or self.config.mode
        return self.send(SessionStarted(T, session, name, "", "", "", (), self.config.canonical()))

    def order(self, owner: str, side: int, size: str, *, role: str = "open", market: int = 1) -> str:
        """Submit an order; return its client order id."""
        self.number += 1
        client_order_id = f"0x{SESSION}{self.number:016x}"
        terms = OrderTerms(side, self.size(size, market), role=role, handle=f"{owner}-{self.number}")
        self.send(SubmitOrder(T, client_order_id, owner, market, terms))
        return client_order_id

    def end(self, client_order_id: str, at_ns: int = T, state: str = "Canceled") -> None:
        """End an order."""
        self.send(OrderChanged(at_ns, client_order_id, "", 1, state, 0, 0))

    def fill(
        self,
        client_order_id: str,
        side: int,
        size: str,
        price: str,
        *,
        fee: str = "0",
        finer: int = 0,
        market: int = 1,
        at_ns: int = T,
        trade_id: int | None = None,
        **fields: Any,
    ) -> list[Any]:
        """Report a fill; return what the books emit."""
        self.number += 1
        listed = self.listed[market]
        return self.send(
            OrderFilled(
                at_ns,
                at_ns,
                client_order_id,
                market,
                side,
                _at(price, listed.price_scale + finer),
                self.size(size, market),
                _at(fee, listed.money_scale + finer),
                "taker",
                self.number if trade_id is None else trade_id,
                finer=finer,
                **fields,
            )
        )

    def trades(self, owner: str, side: int, size: str, price: str, **fields: Any) -> list[Any]:
        """Submit an order and fill it."""
        order = self.order(owner, side, size, market=fields.get("market", 1))
        return self.fill(order, side, size, price, **fields)

    def position_read(self, size: str, *, at_ns: int = T, entry: str = "100", market: int = 1) -> list[Any]:
        """Report the venue's position."""
        return self.send(PositionRead(at_ns, at_ns, market, self.size(size, market), 8, _at(entry, 8)))

    def balance_read(self, balance: Fraction, *, at_ns: int = T, market: int = 1) -> list[Any]:
        """Report what a spot account holds at the venue: whole steps of the grid and the rest."""
        listed = self.listed[market]
        step = Fraction(listed.size_step, 10**listed.size_scale)
        whole = balance // step * step
        size, rest = whole * 10**listed.size_scale, (balance - whole) * 10**8
        assert size.denominator == rest.denominator == 1, balance
        return self.send(PositionRead(at_ns, at_ns, market, int(size), 8, 0, int(rest)))

    def account_read(self, equity: str, *, unrealized: str | None = "0", at_ns: int = T) -> list[Any]:
        """Report the venue's value of the account."""
        profit = None if unrealized is None else _at(unrealized, 8)
        return self.send(AccountRead(at_ns, at_ns, "g", 8, _at(equity, 8), 0, 0, 0, profit))

    def trade(self, price: str, market: int = 1) -> None:
        """Show a trade of the market."""
        self.send(Trade(T, T, market, _at(price, self.listed[market].price_scale), 1, 1))

    def size(self, text: str, market: int = 1) -> int:
        """Return a size in steps of the market's grid."""
        return _at(text, self.listed[market].size_scale)

    # What came of it.

    def held(self, owner: str, market: int = 1) -> Fraction:
        """Return the size of a book."""
        books = self.books.books.get(market, {})
        return exact(books[owner].size if owner in books else 0, self.listed[market].size_scale)

    def sizes(self, market: int = 1) -> dict[str, Fraction]:
        """Return the books that are not flat."""
        return {owner: self.held(owner, market) for owner, size in self.books.sizes(market) if size}

    def position(self, owner: str, market: int = 1) -> dict[str, Fraction]:
        """Return the newest `PositionChanged` of a book as fractions."""
        events = [
            one for one in self.all(PositionChanged) if (one.strategy, one.instrument) == (owner, market)
        ]
        event, listed = events[-1], self.listed[market]
        money = listed.money_scale + event.finer
        found = {key: exact(getattr(event, key), money) for key in ("cost", "realized", "fees", "funding")}
        return found | {"size": exact(event.size, listed.size_scale)}

    def equity(self) -> dict[str, Fraction]:
        """Return the newest `EquityMarked` as fractions."""
        event = self.all(EquityMarked)[-1]
        names = ("realized", "unrealized", "fees", "equity", "funding", "start", "adjustments")
        return {name: exact(getattr(event, name), event.scale) for name in names}

    def booked(self, events: list[Any]) -> list[tuple[str, int, str, str, str, bool]]:
        """Return (owner, side, size, price, role, over) of each `FillBooked`."""
        found = []
        for one in events:
            if isinstance(one, FillBooked):
                listed = self.listed[one.instrument]
                size = format_scaled(one.size, listed.size_scale)
                price = format_scaled(one.price, listed.price_scale + one.finer)
                found.append((one.owner, one.side, size, price, one.role, one.over))
        return found


def _at(text: str, scale: int) -> int:
    value = Fraction(text) * 10**scale
    assert value.denominator == 1, f"{text} is finer than the grid"
    return int(value)
