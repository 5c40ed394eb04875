"""Answers `/info` requests, sent over HTTP or as a websocket post.

Defines the request types and the venue's answers to invalid ones, with the venue's status codes and texts. No
client input raises an exception. Called by `requests.py` and `hub.py`.
"""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec

from adapters.exchange.grid import DEPTH
from adapters.sandbox.empty import EMPTY, empty_answer
from adapters.sandbox.exchange.exchange import Exchange
from adapters.sandbox.exchange.funding import HOUR_MS
from adapters.sandbox.exchange.money import money_text
from adapters.sandbox.exchange.user_info import UserRequest, answer_user
from adapters.sandbox.market_state import FUNDING_RATE, MarketState
from adapters.sandbox.wire import (
    NOT_DESERIALIZED,
    NOT_JSON,
    BookRequest,
    CandleRequest,
    Mids,
    encode,
)

__all__ = ["QUESTIONS", "Answer", "Info", "book_options_known"]


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer: JSON, or plain text if `text` is true. `type` is the request's type, "" if invalid."""

    status: int
    body: str
    text: bool = False
    type: str = ""


class _InfoRequest(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Base class of the requests."""


class _Meta(_InfoRequest, frozen=True, tag="meta"):
    dex: str | None = None


class _MetaAndContexts(_InfoRequest, frozen=True, tag="metaAndAssetCtxs"):
    dex: str | None = None


class _SpotMeta(_InfoRequest, frozen=True, tag="spotMeta"):
    pass


class _PerpDexs(_InfoRequest, frozen=True, tag="perpDexs"):
    pass


class _ExchangeStatus(_InfoRequest, frozen=True, tag="exchangeStatus"):
    pass


class _RecentTrades(_InfoRequest, frozen=True, tag="recentTrades"):
    coin: str


class _CandleSnapshot(_InfoRequest, frozen=True, tag="candleSnapshot"):
    req: CandleRequest


class _AllPerpMetas(_InfoRequest, frozen=True, tag="allPerpMetas"):
    pass


class _SpotMetaAndContexts(_InfoRequest, frozen=True, tag="spotMetaAndAssetCtxs"):
    pass


class _PredictedFundings(_InfoRequest, frozen=True, tag="predictedFundings"):
    pass


class _AtCap(_InfoRequest, frozen=True, tag="perpsAtOpenInterestCap"):
    dex: str | None = None


class _MarginTable(_InfoRequest, frozen=True, tag="marginTable"):
    id: int


class _DexStatus(_InfoRequest, frozen=True, tag="perpDexStatus"):
    dex: str


class _FundingHistory(_InfoRequest, frozen=True, tag="fundingHistory"):
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
    | _MarginTable
    | _DexStatus
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
"""No spot pairs, only the token that collateralizes the perps."""

QUESTIONS: Final = frozenset(EMPTY) | {str(one.__struct_config__.tag) for one in get_args(_Request)}
"""The types of requests that are answered."""

_UNKNOWN: Final = (500, "null")
"""The venue's answer to an unknown name."""


class Info:
    """Answers from the current state. `exchangeStatus` includes `speed`, which only the sandbox sends."""

    def __init__(self, market: MarketState, exchange: Exchange, speed: float) -> None:
        self._market = market
        self._exchange = exchange
        self._speed = int(speed) if speed == int(speed) else speed
        self._decode = msgspec.json.Decoder(_Request).decode

    def answer(self, body: bytes | msgspec.Raw, now_ms: int) -> Answer:
        """Answer a request body. `now_ms` is the sandbox's time."""
        try:
            request = self._decode(body)
        except (msgspec.MsgspecError, UnicodeError):
            empty = empty_answer(body)
            return _refusal(body) if empty is None else Answer(200, empty[1], type=empty[0])
        status, text = self._answer(request, now_ms)
        return Answer(status, text, type=str(request.__struct_config__.tag))

    def _answer(self, request: _Request, now_ms: int) -> tuple[int, str]:
        market = self._market
        match request:
            case BookRequest():
                instrument = market.by_name.get(request.coin)
                if instrument is None:
                    return 200, "null"
                if not book_options_known(request.n_sig_figs, request.mantissa):
                    return _UNKNOWN
                figures, mantissa = request.n_sig_figs, request.mantissa
                return 200, instrument.book(now_ms, depth=DEPTH, figures=figures, mantissa=mantissa)
            case _CandleSnapshot():
                wanted = request.req
                instrument = market.by_name.get(wanted.coin)
                end_ms = now_ms if wanted.end_time is None else wanted.end_time
                if instrument is None:
                    return _UNKNOWN
                return 200, instrument.candle_rows(wanted.interval, wanted.start_time, end_ms, now_ms)
            case _RecentTrades():
                instrument = market.by_name.get(request.coin)
                return _UNKNOWN if instrument is None else (200, instrument.recent_trades())
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
                rows = self._exchange.funding.rows(request.coin, request.start_time, end_ms)
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
            case _MarginTable():
                tables = dict(msgspec.json.decode(market.meta)["marginTables"])
                return (200, encode(tables[request.id]).decode()) if request.id in tables else _UNKNOWN
            case _DexStatus():
                deposited = sum(account.deposited for account in self._exchange.accounts.values())
                return 200, encode({"totalNetDeposit": money_text(deposited)}).decode()
            case _:
                return 200, encode(answer_user(self._exchange, request, now_ms)).decode()

    def _predicted(self, now_ms: int) -> list[Any]:
        """Return `predictedFundings`. As on the venue, the "next" time is that of the last settlement."""
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        funding = {"fundingRate": FUNDING_RATE, "nextFundingTime": hour_ms, "fundingIntervalHours": 1}
        return [[instrument.name, [["HlPerp", funding]]] for instrument in self._market.instruments]


def book_options_known(figures: int | None, mantissa: int | None) -> bool:
    """Return whether a book request with these `nSigFigs` and `mantissa` is valid."""
    if mantissa is not None:
        return figures == 5 and mantissa in (1, 2, 5)
    return figures is None or 2 <= figures <= 5


def _refusal(body: bytes | msgspec.Raw) -> Answer:
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return Answer(400, NOT_JSON, text=True)
    return Answer(422, NOT_DESERIALIZED, text=True)
