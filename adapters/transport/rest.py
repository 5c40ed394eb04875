"""A venue's HTTP interface: the base of every client that reads it.

Owns the connections, and how answers are read. Promises: every answer is bounded in time and size, and
every failure is VenueUnreachable (BudgetSpent if nothing was sent) or VenueProtocolError with the address in
it (`http.py`). Every try waits for its weight in the budget of the `Governor`. A venue's client derives from
it and adds its requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self, TypeVar

import httpx
import msgspec

from adapters.transport.decoding import decode_body
from adapters.transport.governor import Governor, Priority
from adapters.transport.http import Answer, HttpClient, HttpReader, Request
from adapters.transport.protocol import BODY_BYTES_MAX
from engine.errors import VenueProtocolError
from engine.venue import Unusable

__all__ = ["RestClient", "VenueNow", "readable", "readable_or_none", "readable_rows", "times_of"]

_Shape = TypeVar("_Shape")
_Row = TypeVar("_Row")


class VenueNow(NamedTuple):
    """The venue's time, a lower bound: the true time is at most `inexact_ns` later."""

    venue_ns: int
    inexact_ns: int = 0


class RestClient:
    """Client of one address. Use as an async context manager, or call `aclose`.

    `timeout_s` bounds each try as a whole. `governor` counts this address's limits, `transport` replaces the
    network in tests. `refusal` and `note`: see `HttpReader`.
    """

    def __init__(
        self,
        base_url: str,
        governor: Governor,
        *,
        timeout_s: float = 5.0,
        body_bytes_max: int = BODY_BYTES_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
        refusal: Callable[[Request, Answer], str] = lambda _request, _answer: "",
        note: Callable[[Answer], None] = lambda _answer: None,
    ) -> None:
        self.base_url = base_url
        self.governor = governor
        self._client = HttpClient(timeout_s=timeout_s, body_bytes_max=body_bytes_max, transport=transport)
        self._reader = HttpReader(self._client, governor, timeout_s=timeout_s, refusal=refusal, note=note)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        await self._client.aclose()

    @property
    def sandbox_speed(self) -> float | None:
        """The speed of the clock of a sandbox on this machine; None for a venue, and before an answer."""
        return self._client.sandbox_speed

    async def _get(
        self, url: str, what: str, weight: int, priority: Priority, decode: Callable[[bytes], _Shape]
    ) -> _Shape:
        """Return an answer as `decode` reads it, whose errors get the address. Raises VenueError."""
        body = await self._reader.read(Request("GET", url), what, weight, priority)
        try:
            return decode(body)
        except VenueProtocolError as error:
            raise VenueProtocolError(f"{url}: {error}") from error


def readable(
    rows: Iterable[msgspec.Raw],
    decode: Callable[[bytes], _Row],
    odd: Callable[[Unusable], None] | None,
    time_of: Callable[[msgspec.Raw], int | None],
) -> list[_Row]:
    """Return the rows that `decode` can read, and pass the others to `odd` with their time.

    Without `odd`, raises the VenueProtocolError of the first other.
    """
    found: list[_Row] = []
    for row in rows:
        try:
            found.append(decode(bytes(row)))
        except VenueProtocolError as error:
            if odd is None:
                raise
            odd(Unusable(time_of(row), str(error)))
    return found


def readable_or_none(rows: Iterable[msgspec.Raw], decode: Callable[[bytes], _Row]) -> list[_Row | None]:
    """Return the rows, None in place of one that `decode` cannot read."""
    found: list[_Row | None] = []
    for row in rows:
        try:
            found.append(decode(bytes(row)))
        except VenueProtocolError:
            found.append(None)
    return found


def readable_rows(
    rows: Sequence[msgspec.Raw] | None,
    shape: type[_Row],
    rows_max: int,
    odd: Callable[[Unusable], None] | None,
    time_of: Callable[[msgspec.Raw], int | None],
) -> list[_Row]:
    """Return the rows of an answer that have the shape; see `readable`. None is an answer without rows.

    Raises VenueProtocolError for more than `rows_max`.
    """
    if rows is not None and len(rows) > rows_max:
        raise VenueProtocolError(f"an answer has {len(rows)} rows")
    return readable(rows or [], lambda row: decode_body(row, shape), odd, time_of)


def times_of(row: msgspec.Raw, shape: type[_Row]) -> _Row | None:
    """Return the times of a row that cannot be read, None if it has not even these."""
    try:
        return msgspec.json.decode(row, type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
