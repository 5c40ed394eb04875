"""Indicators: arithmetic over closed bars, one value per update, with state that a snapshot stores."""

from engine.indicators.channels import Bollinger, Channel, Donchian, Keltner
from engine.indicators.crossing import CrossOver
from engine.indicators.momentum import Macd, MacdValue, Rsi, Stochastic, StochasticValue
from engine.indicators.moving import Ema, Sma, Wma
from engine.indicators.spread import Highest, Lowest, StdDev, ZScore
from engine.indicators.trend import Adx, AdxValue, Atr, SuperTrend, SuperTrendValue
from engine.indicators.volume import DayVwap, Obv, Vwap

__all__ = [
    "Adx",
    "AdxValue",
    "Atr",
    "Bollinger",
    "Channel",
    "CrossOver",
    "DayVwap",
    "Donchian",
    "Ema",
    "Highest",
    "Keltner",
    "Lowest",
    "Macd",
    "MacdValue",
    "Obv",
    "Rsi",
    "Sma",
    "StdDev",
    "Stochastic",
    "StochasticValue",
    "SuperTrend",
    "SuperTrendValue",
    "Vwap",
    "Wma",
    "ZScore",
]
