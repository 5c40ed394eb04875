"""`engine venues`: what each venue can do, read from the adapters."""

from __future__ import annotations

import click
import msgspec

from engine.commands.output import json_option, print_json
from engine.loading.venues import find_venue, venue_names
from engine.venue import Venue

__all__ = ["HEADS", "VenueRow", "row_of", "venues_command"]

HEADS = ("venue", "markets", "channels", "orders", "history", "raw", "sandbox")
"""The heads of the table."""


class VenueRow(msgspec.Struct, frozen=True):
    """What a venue can do. `channels` are market data besides trades and the best bid and ask.

    `orders`: real ones can be sent. `history`: what `engine backfill` reads of the past. `raw`: recorded
    messages can be decoded again. `sandbox`: the local exchange has its protocol. `lists_as` is the venue in
    `venue:NAME`.
    """

    venue: str
    lists_as: str
    markets: list[str]
    channels: list[str]
    orders: bool
    history: list[str]
    raw: bool
    sandbox: bool

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        orders, raw, sandbox = ("yes" if able else "no" for able in (self.orders, self.raw, self.sandbox))
        names = (", ".join(names) or "none" for names in (self.markets, self.channels, self.history))
        markets, channels, history = names
        return (self.venue, markets, channels, orders, history, raw, sandbox)


def row_of(venue: Venue) -> VenueRow:
    """Return what a venue can do."""
    return VenueRow(
        venue.name,
        venue.lists_as or venue.name,
        sorted(venue.rules.markets),
        list(venue.channels),
        venue.has_orders,
        _history_of(venue),
        venue.has_raw,
        bool(venue.sandbox),
    )


def _history_of(venue: Venue) -> list[str]:
    """Return the series of the past that the venue gives."""
    rules = venue.rules
    series = {
        "candles": True,
        "funding": any(one.funding_s for one in rules.markets.values()),
        "open interest": bool(rules.interest_s),
    }
    return [name for name, given in series.items() if given and venue.has_history]


@click.command("venues")
@json_option
def venues_command(as_json: bool) -> None:
    """List the venues of `engine live --venue NAME` and what each can do.

    Trades and the best bid and ask come from each; other market data from its channels ([data] channels).
    Venues without orders are traded on paper. Those with a sandbox can be run without a network by
    `engine sandbox --venue NAME`. Installed packages can bring further ones.
    """
    rows = [row_of(find_venue(name)) for name in venue_names()]
    if as_json:
        for row in rows:
            print_json(msgspec.to_builtins(row))
        return
    lines = [HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADS))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
