"""The worth of an account over time: what `portfolio` answers.

A sample is taken when an account is opened and then every hour, with funding. Memory is bounded: the first
sample and those of 31 days. The sandbox has no spot, so perps are everything. Called by the exchange and by
`user_info.py`.
"""

from __future__ import annotations

from typing import Any, Final

from adapters.sandbox.exchange.accounts import Account, Sample
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.money import money_text

__all__ = ["portfolio", "take_sample"]

_DAY_MS: Final = 86_400_000
_PERIODS: Final = (("day", _DAY_MS), ("week", 7 * _DAY_MS), ("month", 30 * _DAY_MS), ("allTime", None))
_SAMPLES_MAX: Final = 31 * 24


def take_sample(account: Account, margin: Margin, now_ms: int) -> None:
    """Record what an account is worth now."""
    account.samples.append(_sample(account, margin, now_ms))
    if len(account.samples) > _SAMPLES_MAX:
        del account.samples[1]  # the first one begins "allTime"


def portfolio(account: Account, margin: Margin, now_ms: int) -> list[Any]:
    """Return `portfolio`: account value, profit since the beginning of the period, and traded volume."""
    samples = [*account.samples, _sample(account, margin, now_ms)]
    periods = []
    for name, span_ms in _PERIODS:
        since_ms = samples[0].time_ms if span_ms is None else now_ms - span_ms
        earlier = [one for one in samples if one.time_ms < since_ms]
        shown = earlier[-1:] + samples[len(earlier) :]
        first = shown[0]
        times = [max(one.time_ms, since_ms) for one in shown]
        volume = account.volume - (0 if span_ms is None else first.volume)
        values = [money_text(one.equity) for one in shown]
        profits = [money_text(one.equity - one.deposited - first.equity + first.deposited) for one in shown]
        row = {
            "accountValueHistory": [list(pair) for pair in zip(times, values, strict=True)],
            "pnlHistory": [list(pair) for pair in zip(times, profits, strict=True)],
            "vlm": money_text(volume),
        }
        periods.append((name, row))
    return [[name, row] for name, row in periods] + [
        [f"perp{name[0].upper()}{name[1:]}", row] for name, row in periods
    ]


def _sample(account: Account, margin: Margin, now_ms: int) -> Sample:
    return Sample(now_ms, margin.equity(account), account.deposited, account.volume)
