"""What became of a request that is sent once: done, refused, or not known.

Promises: what is not clearly an acceptance or a refusal is `Lost`, never a guess; no error of the network
leaves `send_once`. What an answer of a venue means is said by the venue's own gateway, which calls this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import httpx
import msgspec
import trio

from adapters.transport.http import Answer, AnswerTooLong, HttpClient, Request
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["NOT_TRADED", "TAKEN", "Done", "Lost", "Outcome", "Refused", "send_once"]

NOT_TRADED: Final = (
    "not sent: its instrument is not traded in this session; start one with it among --instruments"
)
"""The reason of a refusal before anything is sent."""

TAKEN: Final = "the venue has an order of this client id already"
"""The reason of an Unknown order: what `Refused.taken` says."""


class Done(msgspec.Struct, frozen=True):
    """The venue did it, or took it; `body` is its answer."""

    body: bytes


class Refused(msgspec.Struct, frozen=True):
    """The venue refused. `taken`: it has an order of this client id already, so that order is asked about."""

    code: int
    text: str
    taken: bool = False


class Lost(msgspec.Struct, frozen=True):
    """The outcome is not known. `unsent`: nothing can have reached the venue."""

    reason: str
    unsent: bool = False


Outcome = Done | Refused | Lost


async def send_once(
    client: HttpClient, request: Request, within_s: float, read: Callable[[Answer], Outcome]
) -> Outcome:
    """Send a request once; return its outcome, which `read` reads from an answer within `within_s`."""
    lost = Lost(f"no answer within {within_s:g} s")
    with trio.move_on_after(within_s):
        try:
            return read(await client.send(request))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            lost = Lost(f"no connection: {_words(error)}", unsent=True)
        except httpx.HTTPError as error:
            lost = Lost(f"{type(error).__name__}: {_words(error)}")
        except AnswerTooLong:
            lost = Lost("an answer that is too long")
        except VenueProtocolError:
            lost = Lost("an answer in a form that was not requested")
    return lost


def _words(error: Exception) -> str:
    return clip(str(error) or type(error).__name__)
