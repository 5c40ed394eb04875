"""Recorded days as a library: verify that a day re-derives, or run a strategy on its market data.

    import replay

    report = replay.verify("journal/2024-12-05")
    print(report.verdict, report.digest)

See docs/replay-as-a-library.md. `__all__` lists the public names; each is imported on first use, since the
command line imports this package at every start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replay.backtesting import BacktestReport
    from replay.runs import backtest, verify
    from replay.verification import Divergence, ReplayReport

__all__ = ["BacktestReport", "Divergence", "ReplayReport", "backtest", "verify"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from replay import backtesting, runs, verification

    for module in (backtesting, runs, verification):
        if name in module.__all__:
            found = globals()[name] = getattr(module, name)
            return found
    raise AssertionError(f"{name} is in no module of the package")


def __dir__() -> list[str]:
    return __all__
