"""The exchange: executes signed actions, or answers with the venue's error text.

Owns the accounts and connects the parts of the exchange. Promises: all effects of an action happen before it
is answered and are reported in one batch (`reports.py`); a refused action changes nothing except its nonce.
Times are the sandbox's own, in ms. Nothing awaits and nothing is random: the same tape and the same requests
at the same times give the same answers. The hub passes in request bodies and the tape; `user_info.py` reads
the accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import (
    Action,
    ApproveAgent,
    BatchModify,
    Cancel,
    CancelByCloid,
    Modify,
    ModifyWire,
    OrderAction,
    ReserveRequestWeight,
    ScheduleCancel,
    UpdateIsolatedMargin,
    UpdateLeverage,
    UsdSend,
    Withdraw,
    entries,
    parse_request,
)
from adapters.sandbox.exchange.agents import Agents
from adapters.sandbox.exchange.budget import Budget
from adapters.sandbox.exchange.funding import Funding
from adapters.sandbox.exchange.liquidation import Liquidation
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.matching import MatchingEngine
from adapters.sandbox.exchange.money import DOLLAR, SCALE, UNIT, money_text
from adapters.sandbox.exchange.order_entry import OrderEntry, Status
from adapters.sandbox.exchange.portfolio import take_sample
from adapters.sandbox.exchange.refusals import ActionRefused
from adapters.sandbox.exchange.reports import Reports
from adapters.sandbox.exchange.signers import Signers
from adapters.sandbox.exchange.transfers import Transfers
from adapters.sandbox.market_state import InstrumentState, MarketState
from engine.errors import NumberError, UsageError
from engine.events import Quote, Trade
from engine.values import parse_scaled, power_of_ten

__all__ = ["Exchange"]

_BATCH_MAX: Final = 200
_VOLUME_NEEDED: Final = 1_000_000 * DOLLAR
_SCHEDULE_AHEAD_MS: Final = 5_000
_SCHEDULES_A_DAY: Final = 10
_DAY_MS: Final = 86_400_000


class Exchange:
    """The exchange. `accounts` are (address, USDC) pairs, `volumes` (address, USD traded so far) pairs."""

    def __init__(
        self,
        market: MarketState,
        accounts: Sequence[tuple[str, str]] = (),
        volumes: Sequence[tuple[str, str]] = (),
        *,
        mainnet: bool = False,
        limited: bool = True,
    ) -> None:
        self.accounts = _opened(accounts, volumes)
        self.market = market
        self.reports = Reports()
        self.margin = Margin(market)
        self.agents = Agents(self.accounts)
        self.budget = Budget(self.margin, limited=limited)
        self.funding = Funding(self.accounts, self.margin, self.reports)
        self._matching = MatchingEngine(market, self.accounts, self.margin, self.reports)
        self._order_entry = OrderEntry(market, self.margin, self._matching, self.reports)
        self._liquidation = Liquidation(
            self.accounts,
            self.margin,
            self._matching,
            self.reports,
            next_oid=self._order_entry.next_oid,
            asset_of=self._order_entry.asset_of,
        )
        self._transfers = Transfers(self.accounts, self.margin, self.reports)
        self._signers = Signers(self.accounts, self.agents, mainnet=mainnet)
        self._due_ms = 0

    # Signed actions.

    def act(self, body: bytes | msgspec.Raw, now_ms: int) -> dict[str, Any]:
        """Execute a request and return the answer. Raises BadRequest if it cannot be decoded."""
        request = parse_request(body)
        self.advance(now_ms)
        try:
            account = self._signers.account_of(request, now_ms)
            self.budget.admit(account, request.action, now_ms)
            _check_batch(request.action)
            response = self._do(account, request.action, now_ms)
        except ActionRefused as refused:
            return {"status": "err", "response": str(refused)}
        self.budget.charge(account, request.action, now_ms)
        return {"status": "ok", "response": response}

    def _do(self, account: Account, action: Action, now_ms: int) -> dict[str, Any]:
        """Execute an action and return its response. Raises ActionRefused if it is refused as a whole."""
        match action:
            case OrderAction():
                return _statuses("order", self._order_entry.place(account, action, now_ms))
            case Cancel():
                return _statuses("cancel", [self._cancel(account, c.a, c.o, now_ms) for c in action.cancels])
            case CancelByCloid():
                return _statuses(
                    "cancel", [self._cancel(account, c.asset, c.cloid, now_ms) for c in action.cancels]
                )
            case BatchModify():
                return _statuses(
                    "order",
                    [self._order_entry.modify(account, one, action.a, now_ms) for one in action.modifies],
                )
            case Modify():
                change = ModifyWire(action.oid, action.order)
                status = self._order_entry.modify(account, change, action.a, now_ms)
                if isinstance(status, dict) and "error" in status:
                    raise ActionRefused(str(status["error"]))
            case ScheduleCancel():
                self._schedule(account, action.time, now_ms)
            case UpdateLeverage():
                self._set_leverage(account, action)
            case UpdateIsolatedMargin():
                self._move_margin(account, action)
            case ReserveRequestWeight():
                self.budget.reserve(account, action)
            case ApproveAgent():
                replaced = self.agents.approve(account, action, now_ms)
                if replaced is not None:
                    self._signers.remove(replaced)
            case UsdSend():
                self._transfers.send(account, action, now_ms)
            case Withdraw():
                self._transfers.withdraw(account, action, now_ms)
        return {"type": "default"}

    def _cancel(self, account: Account, asset: int, oid: int | str, now_ms: int) -> Status:
        order = account.find(oid)
        if order is None or order.asset != asset or order.ended:
            return {"error": f"{refusals.CANCEL} asset={asset}"}
        self._matching.end(order, "canceled", now_ms)
        return "success"

    def _schedule(self, account: Account, time_ms: int | None, now_ms: int) -> None:
        if account.volume < _VOLUME_NEEDED:
            traded = money_text(account.volume, 2).removesuffix(".0")
            raise ActionRefused(
                "Cannot set scheduled cancel time until enough volume traded. "
                f"Required: $1000000. Traded: ${traded}."
            )
        if time_ms is None:
            account.cancel_at_ms = 0
            return
        if time_ms < now_ms + _SCHEDULE_AHEAD_MS:
            raise ActionRefused(refusals.SCHEDULE_SOON)
        if account.schedules >= (now_ms // _DAY_MS, _SCHEDULES_A_DAY):
            raise ActionRefused(refusals.SCHEDULES_USED)
        account.cancel_at_ms = time_ms
        self._due_ms = min(self._due_ms, time_ms)

    def _set_leverage(self, account: Account, action: UpdateLeverage) -> None:
        instrument, margin = self._order_entry.instrument(action.asset), self.margin
        if instrument is None:
            raise ActionRefused(refusals.NO_ASSET[0])
        name = instrument.name
        if not 1 <= action.leverage <= margin.max_leverage[name]:
            raise ActionRefused(refusals.LEVERAGE)
        held = account.position(instrument.listed)
        cross = margin.is_cross(account, name)
        if held.size and action.isCross != cross:
            raise ActionRefused(refusals.SWITCH)
        before = account.leverage.get(name)
        lower = action.leverage < margin.leverage(account, name)
        account.leverage[name] = (action.leverage, action.isCross)
        if not lower:
            return
        needed = abs(margin.value(held)) // action.leverage
        enough = margin.affords(account) if cross else held.margin + margin.unrealized_pnl(held) >= needed
        if not enough:
            if before is None:
                del account.leverage[name]
            else:
                account.leverage[name] = before
            raise ActionRefused(refusals.CROSS_SHORT if cross else refusals.ISOLATED_SHORT)

    def _move_margin(self, account: Account, action: UpdateIsolatedMargin) -> None:
        instrument, margin = self._order_entry.instrument(action.asset), self.margin
        if instrument is None:
            raise ActionRefused(refusals.NO_ASSET[0])
        held, amount = account.position(instrument.listed), action.ntli * UNIT
        if not amount:
            raise ActionRefused(refusals.MARGIN_ZERO)
        if not held.size:
            raise ActionRefused(refusals.MARGIN_EMPTY)
        if margin.is_cross(account, instrument.name):
            raise ActionRefused(refusals.MARGIN_NOT_ISOLATED)
        if amount > margin.withdrawable(account):
            raise ActionRefused(refusals.MARGIN_MISSING)
        needed = abs(margin.value(held)) // margin.leverage(account, instrument.name)
        if amount < 0 and held.margin + margin.unrealized_pnl(held) + amount < needed:
            raise ActionRefused(refusals.MARGIN_NOT_LEFT)
        held.margin += amount

    # The tape and the clock.

    def add_trade(self, trade: Trade, instrument: InstrumentState) -> None:
        """Process a trade from the tape."""
        self.advance(trade.venue_ns // 1_000_000)
        self._matching.add_trade(trade, instrument)

    def add_quote(self, quote: Quote, instrument: InstrumentState) -> None:
        """Process a quote from the tape."""
        now_ms = quote.venue_ns // 1_000_000
        self.advance(now_ms)
        self._matching.add_quote(quote, instrument)
        self._liquidation.check(instrument.name, now_ms)

    def advance(self, now_ms: int) -> None:
        """Process what is due: scheduled cancels, and funding on the hour."""
        if now_ms < self._due_ms:
            return
        for account in self.accounts.values():
            if not self._due_ms and account.cash:
                self._transfers.note_deposit(account, now_ms)
                take_sample(account, self.margin, now_ms)
            if account.cancel_at_ms and now_ms >= account.cancel_at_ms:
                self._cancel_all(account, now_ms)
        scheduled = [one.cancel_at_ms for one in self.accounts.values() if one.cancel_at_ms]
        self._due_ms = min([self.funding.advance(now_ms), *scheduled])

    def _cancel_all(self, account: Account, now_ms: int) -> None:
        day, fired = account.schedules
        today = now_ms // _DAY_MS
        account.schedules = (today, fired + 1 if day == today else 1)
        account.cancel_at_ms = 0
        for order in list(account.orders.values()):
            self._matching.end(order, "scheduledCancel", now_ms)


def _opened(accounts: Sequence[tuple[str, str]], volumes: Sequence[tuple[str, str]]) -> dict[str, Account]:
    """Return the initial accounts by address. Raises UsageError."""
    opened: dict[str, Account] = {}
    for address, amount in accounts:
        account = opened.setdefault(address.lower(), Account(address.lower()))
        account.cash += _dollars(amount, "--account", address)
    for address, amount in volumes:
        if address.lower() not in opened:
            raise UsageError(f"--volume {address}: no --account has this address")
        opened[address.lower()].volume += _dollars(amount, "--volume", address)
    return opened


def _dollars(text: str, option: str, address: str) -> int:
    try:
        return parse_scaled(text, 6) * power_of_ten(SCALE - 6)
    except NumberError as error:
        raise UsageError(f"{option} {address}:{text}: {error}") from None


def _check_batch(action: Action) -> None:
    """Raise ActionRefused for a batch that is empty or too long."""
    count = entries(action)
    if count > _BATCH_MAX:
        raise ActionRefused(f"Signed action over weight limit of {_BATCH_MAX}.")
    if not count:
        raise ActionRefused(refusals.BATCH_EMPTY)


def _statuses(kind: str, statuses: list[Status]) -> dict[str, Any]:
    return {"type": kind, "data": {"statuses": statuses}}
