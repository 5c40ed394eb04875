"""Answers `/info`, over HTTP and as a post over the websocket.

Owns the request types it knows and the venue's ways of refusing them. Promises the venue's status codes and
texts; never raises for what a client sends. Called by the server and by the stream of a connection.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.sandbox.exchange.desk import Desk
from adapters.sandbox.exchange.funding import HOUR_MS
from adapters.sandbox.exchange.questions import UserRequest, answer_user
from adapters.sandbox.grid import DEPTH
from adapters.sandbox.played import FUNDING_RATE, PlayedMarket
from adapters.sandbox.wire import (
    NOT_DESERIALIZED,
    NOT_JSON,
    BookRequest,
    CandleRequest,
    Mids,
    encode,
)

__all__ = ["Answer", "Info", "book_options_known"]


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer: JSON, or plain text when `text`. `type` is the request's, "" when it had none."""

    status: int
    body: str
    text: bool = False
    type: str = ""


class _Ask(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Base of the requests."""


class _Meta(_Ask, frozen=True, tag="meta"):
    dex: str | None = None


class _MetaAndContexts(_Ask, frozen=True, tag="metaAndAssetCtxs"):
    dex: str | None = None


class _SpotMeta(_Ask, frozen=True, tag="spotMeta"):
    pass


class _PerpDexs(_Ask, frozen=True, tag="perpDexs"):
    pass


class _ExchangeStatus(_Ask, frozen=True, tag="exchangeStatus"):
    pass


class _RecentTrades(_Ask, frozen=True, tag="recentTrades"):
    coin: str


class _CandleSnapshot(_Ask, frozen=True, tag="candleSnapshot"):
    req: CandleRequest


class _AllPerpMetas(_Ask, frozen=True, tag="allPerpMetas"):
    pass


class _SpotMetaAndContexts(_Ask, frozen=True, tag="spotMetaAndAssetCtxs"):
    pass


class _PredictedFundings(_Ask, frozen=True, tag="predictedFundings"):
    pass


class _AtCap(_Ask, frozen=True, tag="perpsAtOpenInterestCap"):
    dex: str | None = None


class _FundingHistory(_Ask, frozen=True, tag="fundingHistory"):
    coin: str
    start_time: int
    end_time: int | None = None


_Request = (
    UserRequest
    | _AllPerpMetas
    | _SpotMetaAndContexts
    | _PredictedFundings
    | _AtCap
    | _FundingHistory
    | _Meta
    | _MetaAndContexts
    | _SpotMeta
    | _PerpDexs
    | _ExchangeStatus
    | _RecentTrades
    | _CandleSnapshot
    | BookRequest
    | Mids
)

_SPOT_META: Final = encode(
    {
        "universe": [],
        "tokens": [
            {
                "name": "USDC",
                "szDecimals": 8,
                "weiDecimals": 8,
                "index": 0,
                "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
                "isCanonical": True,
                "evmContract": None,
                "fullName": None,
            }
        ],
    }
).decode()
"""No spot pairs, and the token that perps are margined in."""

_UNKNOWN: Final = (500, "null")
"""How the venue says that it does not know a name."""


class Info:
    """Answers from what has been played. `speed` is told in `exchangeStatus`, which no real venue does."""

    def __init__(self, market: PlayedMarket, desk: Desk, speed: float) -> None:
        self._market = market
        self._desk = desk
        self._speed = int(speed) if speed == int(speed) else speed
        self._decode = msgspec.json.Decoder(_Request).decode

    def answer(self, body: bytes | msgspec.Raw, now_ms: int) -> Answer:
        """Answer a request's body at the sandbox's time `now_ms`."""
        try:
            request = self._decode(body)
        except (msgspec.MsgspecError, UnicodeError):
            return _refusal(body)
        status, text = self._answer(request, now_ms)
        return Answer(status, text, type=str(request.__struct_config__.tag))

    def _answer(self, request: _Request, now_ms: int) -> tuple[int, str]:
        market = self._market
        match request:
            case BookRequest():
                coin = market.by_name.get(request.coin)
                if coin is None:
                    return 200, "null"
                if not book_options_known(request.n_sig_figs, request.mantissa):
                    return _UNKNOWN
                figures, mantissa = request.n_sig_figs, request.mantissa
                return 200, coin.book(now_ms, depth=DEPTH, figures=figures, mantissa=mantissa)
            case _CandleSnapshot():
                wanted = request.req
                coin = market.by_name.get(wanted.coin)
                end_ms = now_ms if wanted.end_time is None else wanted.end_time
                if coin is None:
                    return _UNKNOWN
                return 200, coin.candle_rows(wanted.interval, wanted.start_time, end_ms)
            case _RecentTrades():
                coin = market.by_name.get(request.coin)
                return _UNKNOWN if coin is None else (200, coin.recent_trades())
            case _ExchangeStatus():
                status = {"time": now_ms, "specialStatuses": None, "speed": self._speed}
                return 200, encode(status).decode()
            case _SpotMeta():
                return 200, _SPOT_META
            case _SpotMetaAndContexts():
                return 200, f"[{_SPOT_META},[]]"
            case _AllPerpMetas():
                return 200, f"[{market.meta}]"
            case _FundingHistory():
                if request.coin not in market.by_name:
                    return _UNKNOWN
                end_ms = now_ms if request.end_time is None else request.end_time
                rows = self._desk.funding.rows(request.coin, request.start_time, end_ms)
                return 200, encode(rows).decode()
            case _PredictedFundings():
                return 200, encode(self._predicted(now_ms)).decode()
            case _PerpDexs():
                return 200, "[null]"
            case _ if getattr(request, "dex", None):
                return _UNKNOWN
            case _Meta():
                return 200, market.meta
            case _MetaAndContexts():
                return 200, market.contexts(now_ms)
            case Mids():
                return 200, market.mids()
            case _AtCap():
                return 200, "[]"
            case _:
                return 200, encode(answer_user(self._desk, request, now_ms)).decode()

    def _predicted(self, now_ms: int) -> list[Any]:
        """Return `predictedFundings`; the venue names the settlement that just happened as the next one."""
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        told = {"fundingRate": FUNDING_RATE, "nextFundingTime": hour_ms, "fundingIntervalHours": 1}
        return [[coin.name, [["HlPerp", told]]] for coin in self._market.coins]


def book_options_known(figures: int | None, mantissa: int | None) -> bool:
    """Whether a book may be asked for with these `nSigFigs` and `mantissa`."""
    if mantissa is not None:
        return figures == 5 and mantissa in (1, 2, 5)
    return figures is None or 2 <= figures <= 5


def _refusal(body: bytes | msgspec.Raw) -> Answer:
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return Answer(400, NOT_JSON, text=True)
    return Answer(422, NOT_DESERIALIZED, text=True)
