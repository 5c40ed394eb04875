"""Bars for tests of indicators: a seeded random walk, and recorded candles if they are available."""

from __future__ import annotations

import csv
import gzip
import random
from pathlib import Path
from typing import NamedTuple

__all__ = ["DATA", "Columns", "recorded", "walk"]

DATA = Path(__file__).resolve().parents[3] / "shared/data/candles"


class Columns(NamedTuple):
    """Bars by column."""

    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


def walk(count: int = 3000, seed: int = 5) -> Columns:
    """Return a random walk with jumps, calm periods and a few flat bars."""
    rng = random.Random(seed)
    columns = Columns([], [], [], [], [])
    price = 100.0
    for number in range(count):
        step = 0.02 if number // 500 % 2 else 0.5
        opened = price
        price = max(1.0, round(price + rng.gauss(0, step), 4))
        high = round(max(opened, price) + abs(rng.gauss(0, step / 2)), 4)
        low = round(min(opened, price) - abs(rng.gauss(0, step / 2)), 4)
        if rng.random() < 0.01:
            high = low = price = opened
        for column, value in zip(columns, (opened, high, low, price, rng.random() * 1000), strict=True):
            column.append(value)
    return columns


def recorded(name: str) -> Columns:
    """Return the recorded candles of a file such as hl-BTC-1m."""
    columns = Columns([], [], [], [], [])
    with gzip.open(DATA / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for field, column in zip(Columns._fields, columns, strict=True):
                column.append(float(row[field]))
    return columns
