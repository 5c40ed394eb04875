"""The section `[simulated]` of a configuration: how exactly the simulated venue keeps time and queues.

Owns the keys and what their texts mean. Fields and defaults are recorded, so a new key comes last. A
configuration without the section has no such key in its recorded text. Called by the checks of a
configuration, the simulated venue and backtests.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from engine.config.latency import RECORDED, Latency, parse_latency
from engine.errors import ConfigError, NumberError
from engine.values import parse_scaled

__all__ = [
    "FEE_SCALE",
    "MONEY_TEXT_SCALE",
    "QUEUE_MODELS",
    "QueueModel",
    "Refusal",
    "SimulatedConfig",
    "Tier",
    "check_simulated",
]

FEE_SCALE: Final = 7
"""Decimal places of a fee rate: 0.00045 is 4500."""

MONEY_TEXT_SCALE: Final = 6
"""Most decimal places of an amount of money in the configuration."""

QUEUE_MODELS: Final = ("through", "back", "power", "power2", "power3", "log", "log2")
"""Names of queue models; the three of powers take an exponent."""

_POWER_MAX: Final = 10


class QueueModel(NamedTuple):
    """A model of the queue at a price, one of `QUEUE_MODELS`; `power` is the exponent, 0 without one."""

    name: str
    power: int = 0


class Tier(NamedTuple):
    """Fees from a volume on: `volume` at `MONEY_TEXT_SCALE`, both rates at `FEE_SCALE`."""

    volume: int
    taker: int
    maker: int


class Refusal(NamedTuple):
    """A time, in nanoseconds and inclusive, at which the venue refuses orders of an instrument."""

    from_ns: int
    to_ns: int
    instrument: str
    reason: str


class SimulatedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How exactly the simulated venue keeps time and queues. Without this section an order arrives
    `paper.latency_ms` after it was sent, meets what the engine receives after that, and what the venue does
    is known at once."""

    order_ms: Annotated[
        str,
        Meta(
            description="From sending an order, a change or a cancel to its arrival at the venue: `20`, "
            "`uniform 5 20`, `exponential 5 20` (least and mean), `quantiles 2 3 9`, or `recorded`: measured "
            "in the days of the backtest. Default: `paper.latency_ms`."
        ),
    ] = ""
    answer_ms: Annotated[
        str, Meta(description="From what the venue does to its report, written in the same way.")
    ] = "0"
    feed_ms: Annotated[
        str,
        Meta(
            description="From what happens at the venue to its receipt, in backtests, written in the same "
            "way. Default: as recorded."
        ),
    ] = ""
    queue: Annotated[
        str,
        Meta(
            description="How a resting order moves up where the data has sizes: `back` (only trades move "
            "it), `power N`, `power2 N`, `power3 N`, `log`, `log2` (cancels too, by a model), or `through` "
            "(no queue: `paper.fill_on_touch`)."
        ),
    ] = "back"
    beyond_bps: Annotated[
        str,
        Meta(
            description="What a market order takes beyond the levels that are shown, it gets at this much "
            "worse than the last of them, within its bound. Default: it gets nothing there."
        ),
    ] = ""
    fee_tiers: Annotated[
        tuple[str, ...],
        Meta(
            description='Fees by volume: "0 0.00045 0.00015", "5000000 0.0004 0.00012" (volume from which '
            "a tier holds, taker, maker). The volume is that of the 30 days UTC before today. Default: one "
            "fee."
        ),
    ] = ()
    volume: Annotated[
        str,
        Meta(description="Volume traded in the 30 days before the first fill; it counts for 30 days."),
    ] = "0"
    refusals: Annotated[
        tuple[str, ...],
        Meta(
            description="Times at which the venue refuses orders: nanoseconds from and to, the instrument, "
            'the reason. `["recorded"]`: those of the days of the backtest.'
        ),
    ] = ()
    measured: Annotated[
        str, Meta(description="Written by the engine: the day that `recorded` was measured in.")
    ] = ""

    def latency(self, key: str, text: str = "") -> Latency:
        """Return the latency of a key; `text` is used if the key is empty. Raises ConfigError."""
        return parse_latency(f"simulated.{key}", getattr(self, key) or text)

    def queue_model(self) -> QueueModel:
        """Return the queue model. Raises ConfigError."""
        name, *rest = self.queue.split() or [""]
        takes = name.startswith("power")
        if name not in QUEUE_MODELS or len(rest) != takes:
            known = ", ".join(f"{one} N" if one.startswith("power") else one for one in QUEUE_MODELS)
            raise ConfigError(f"simulated.queue: {self.queue!r} is not one of {known}")
        if not takes:
            return QueueModel(name)
        power = int(rest[0]) if rest[0].isascii() and rest[0].isdigit() else 0
        if not 1 <= power <= _POWER_MAX:
            raise ConfigError(
                f"simulated.queue: {self.queue!r}: the exponent must be whole, 1 to {_POWER_MAX}"
            )
        return QueueModel(name, power)

    def beyond(self) -> int | None:
        """Return how much worse what is beyond the shown levels is; None: nothing is there."""
        if not self.beyond_bps:
            return None
        try:
            bps = parse_scaled(self.beyond_bps, 0)
        except NumberError as error:
            raise ConfigError(f"simulated.beyond_bps: {error}") from None
        if bps >= 10_000:
            raise ConfigError(f"simulated.beyond_bps: {bps} is out of range (0 to 9999)")
        return bps

    def tiers(self) -> tuple[Tier, ...]:
        """Return the tiers of fees, lowest volume first. Raises ConfigError."""
        found = tuple(map(_tier, self.fee_tiers))
        if found and found[0].volume:
            raise ConfigError("simulated.fee_tiers: the first tier must begin at 0")
        if any(after.volume <= before.volume for before, after in pairwise(found)):
            raise ConfigError("simulated.fee_tiers: each tier must begin at more than the one before")
        return found

    def refused(self) -> tuple[Refusal, ...]:
        """Return the times at which orders are refused. Raises ConfigError."""
        return tuple(map(_refusal, self.refusals))

    def wants_recorded(self) -> bool:
        """Return whether something has to be measured in the days of a backtest."""
        return RECORDED in (self.order_ms, self.answer_ms, *self.refusals)


def check_simulated(config: SimulatedConfig) -> None:
    """Raise ConfigError, naming the key, for a value that would fail later."""
    for key in ("order_ms", "answer_ms", "feed_ms"):
        text = getattr(config, key)
        if text and (text != RECORDED or key == "feed_ms"):
            config.latency(key)
    if not config.answer_ms:
        raise ConfigError('simulated.answer_ms: give a number, such as "0"')
    config.queue_model()
    config.beyond()
    config.tiers()
    try:
        parse_scaled(config.volume, MONEY_TEXT_SCALE)
    except NumberError as error:
        raise ConfigError(f"simulated.volume: {error}") from None
    if config.refusals != (RECORDED,):
        config.refused()


def _tier(text: str) -> Tier:
    parts = text.split()
    if len(parts) != 3:
        raise ConfigError(f'simulated.fee_tiers: {text!r}: write it as "5000000 0.0004 0.00012"')
    try:
        volume = parse_scaled(parts[0], MONEY_TEXT_SCALE)
        taker, maker = (parse_scaled(one, FEE_SCALE, signed=True) for one in parts[1:])
    except NumberError as error:
        raise ConfigError(f"simulated.fee_tiers: {text!r}: {error}") from None
    return Tier(volume, taker, maker)


def _refusal(text: str) -> Refusal:
    parts = text.split(maxsplit=3)
    try:
        from_ns, to_ns = (parse_scaled(one, 0) for one in parts[:2])
        instrument, reason = parts[2:]
    except (NumberError, ValueError):
        raise ConfigError(
            f'simulated.refusals: {text!r}: write it as "FROM_NS TO_NS venue:NAME reason"'
        ) from None
    return Refusal(from_ns, to_ns, instrument, reason)
