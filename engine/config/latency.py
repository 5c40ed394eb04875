"""Latencies of the simulated venue as they are written in a configuration, and draws from them.

Owns the notation and the arithmetic. Promises: a draw depends on the latency, the seed and a key alone, so
the same order gets the same latency in every replay; it is exact integer arithmetic, so it is the same on
every machine. Called by the checks of a configuration, the simulated venue, and backtests (the feed's
delays).

    "20"                      always 20 ms
    "uniform 5 20"            from 5 to 20 ms, each equally likely
    "exponential 5 20"        at least 5 ms, 20 ms on average
    "quantiles 2 3 3.5 9"     one of the ranges between neighbours, each equally likely, and uniform within it
    "recorded"                measured in the days of a backtest, which then records it as quantiles
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Final, NamedTuple

from engine.errors import ConfigError, NumberError
from engine.values import parse_scaled

__all__ = ["RECORDED", "Latency", "log2_fixed", "parse_latency"]

RECORDED: Final = "recorded"
"""The latency that is measured in the days of a backtest."""

FRACTION_BITS: Final = 32
"""Bits after the binary point in `log2_fixed`."""

_DRAW_BITS: Final = 64
_LN_2: Final = 2_977_044_471  # ln(2) * 2**32, rounded down
_MS_SCALE: Final = 6  # a millisecond has 10**6 nanoseconds
_MS_MAX: Final = 3_600_000 * 10**_MS_SCALE
_FORMS: Final = '"20", "uniform 5 20", "exponential 5 20" or "quantiles 2 3 9", in milliseconds'


class Latency(NamedTuple):
    """One latency. `values` are nanoseconds, ascending; what they mean is said by `kind` (see the module)."""

    kind: str
    values: tuple[int, ...]

    def draw_ns(self, seed: int, key: str) -> int:
        """Return the latency of what this key names, in nanoseconds."""
        if self.kind == "fixed":
            return self.values[0]
        bits = _bits(seed, key)
        if self.kind == "exponential":
            least, mean = self.values
            # -ln(u) = (64 - log2(k + 1)) * ln(2), where u is (k + 1) / 2**64.
            exponent = (_DRAW_BITS << FRACTION_BITS) - log2_fixed(bits + 1)
            return least + ((mean - least) * exponent * _LN_2 >> 2 * FRACTION_BITS)
        scaled = bits * (len(self.values) - 1)
        place, within = scaled >> _DRAW_BITS, scaled & ((1 << _DRAW_BITS) - 1)
        below, above = self.values[place], self.values[place + 1]
        return below + ((above - below) * within >> _DRAW_BITS)


def parse_latency(where: str, text: str) -> Latency:
    """Return the latency in a text of the configuration's key `where`. Raises ConfigError."""
    kind, *rest = text.split() or [""]
    if kind not in ("uniform", "exponential", "quantiles"):
        kind, rest = "fixed", text.split()
    try:
        values = tuple(parse_scaled(one, _MS_SCALE) for one in rest)
    except NumberError as error:
        raise ConfigError(f"{where}: {error}; write it as {_FORMS}") from None
    counts = {"fixed": (1, 1), "uniform": (2, 2), "exponential": (2, 2), "quantiles": (2, 1000)}
    least, most = counts[kind]
    if not least <= len(values) <= most:
        raise ConfigError(f"{where}: {text!r} is no latency; write it as {_FORMS}")
    if any(after < before for before, after in pairwise(values)):
        raise ConfigError(f"{where}: {text!r}: the numbers must not fall")
    if values[-1] > _MS_MAX:
        raise ConfigError(f"{where}: {text!r} is out of range (0 to 3600000)")
    return Latency(kind, values)


def log2_fixed(number: int) -> int:
    """Return log2 of a whole number from 1 up, times 2**32, rounded down: by repeated squaring, exactly."""
    whole = number.bit_length() - 1
    unit = 2 * FRACTION_BITS
    rest = (number << unit) >> whole
    fraction = 0
    for _ in range(FRACTION_BITS):
        rest = rest * rest >> unit
        fraction <<= 1
        if rest >> (unit + 1):
            rest >>= 1
            fraction |= 1
    return whole << FRACTION_BITS | fraction


def _bits(seed: int, key: str) -> int:
    digest = hashlib.blake2b(f"{seed} {key}".encode(), digest_size=_DRAW_BITS // 8).digest()
    return int.from_bytes(digest, "big")
