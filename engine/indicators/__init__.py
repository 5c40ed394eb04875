"""Indicators: pure arithmetic over closed bars."""

from engine.indicators.moving import Ema, Sma

__all__ = ["Ema", "Sma"]
