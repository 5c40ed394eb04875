"""Results in Python: run a backtest or read recorded days, and get typed rows, which become data frames.

    from engine import research
    run = research.backtest("journal/2024-12-05", "engine.strategies.crossover:Crossover", {"fast": 5})
    run.trips.to_pandas()

The rows of a journal or of any store are read by `data`:

    research.data("retape.db").bars("BTC", "1m")

Owns no numbers: they are those of `engine backtest` and `engine report`. See docs/research.md.
"""

from engine.research.data import Data, data
from engine.research.frames import Point, Rows
from engine.research.runs import Run, backtest, compare, report

__all__ = ["Data", "Point", "Rows", "Run", "backtest", "compare", "data", "report"]
