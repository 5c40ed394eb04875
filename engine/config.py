"""The configuration: what a session trades, how, and within which limits.

Owns the schema and its defaults. A file is TOML with the sections below; every key has a default, an unknown
key is refused and the error names the nearest known one. The whole configuration is recorded in
`SessionStarted` as canonical JSON, so that a replay needs no file.

    coins = ["BTC", "ETH"]          # instruments; default: all that the embedded sandbox lists
    [[strategies]]
    use = "engine.strategies.crossover:Crossover"
    params = { fast = 10, slow = 20 }
    [bars]
    intervals = ["1m", "5m"]
    [risk]
    max_order_notional = "20000"
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from engine.clock import DAY_NS
from engine.errors import ConfigError, NumberError, UsageError
from engine.values import parse_interval, parse_scaled, to_grid

__all__ = [
    "CHANNELS",
    "FEE_SCALE",
    "MONEY_TEXT_SCALE",
    "AccountConfig",
    "BarsConfig",
    "Config",
    "DataConfig",
    "FlowConfig",
    "PaperConfig",
    "RiskConfig",
    "StrategyConfig",
    "VenueConfig",
    "check_instruments",
    "load_config",
    "nearest",
    "parse_config",
    "read_section",
]

FEE_SCALE: Final = 7
"""Decimal places of a fee rate: 0.00045 is 4500."""

CHANNELS: Final = ("l2Book", "l2BookFast", "candle", "activeAssetCtx", "allMids")
"""Market data that can be read besides trades and the best bid and ask."""

ACTIVITY_MEASURES: Final = ("tick", "volume", "value", "imbalance")
"""What an activity bar can count instead of time."""

RESERVED_NAMES: Final = frozenset(
    {
        "activity",
        "aggregator",
        "book-sampler",
        "footprints",
        "imbalances",
        "large-prints",
        "profiles",
        "venue",
        "portfolio",
        "trailing",
        "risk",
        "execution",
        "sequencer",
        "external",
    }
)
"""Names of the engine's own actors and accounts; a strategy cannot have them."""

_Section = TypeVar("_Section", bound=msgspec.Struct)

MONEY_TEXT_SCALE: Final = 6
"""Most decimal places of an amount of money in the configuration."""


class ActivityKind(msgspec.Struct, frozen=True):
    """One kind of activity bar: its name in events, what it counts, the count that closes it, and its
    instrument ("": all)."""

    name: str
    measure: str
    threshold: str
    instrument: str

    @classmethod
    def parse(cls, text: str) -> ActivityKind:
        """Return the kind named measure:threshold or measure:threshold@INSTRUMENT. Raises ConfigError."""
        name, _, instrument = text.partition("@")
        measure, _, threshold = name.partition(":")
        try:
            level = parse_scaled(threshold, 0 if measure == "tick" else MONEY_TEXT_SCALE)
        except NumberError as error:
            raise ConfigError(f"bars.activity: {text!r}: {error}") from None
        if measure not in ACTIVITY_MEASURES or not level:
            known = ", ".join(ACTIVITY_MEASURES)
            raise ConfigError(f"bars.activity: {text!r}: write it as volume:50; measures: {known}")
        return cls(name, measure, threshold, instrument)


class BarsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which time bars are built, and when they close.

    `grace_ms`: how long after its end a bar waits for late trades. `close` is "grace" (default: every bar
    waits that long) or "trade" (the first trade of a later window closes the bar; late trades correct it).

    `activity` lists bars that close by activity: "tick:1000" (trades), "volume:50" (base units),
    "value:1000000" (quote currency), "imbalance:20" (base units bought less sold). "@BTC" at the end limits
    one to that instrument.
    """

    intervals: tuple[str, ...] = ("1m", "5m", "15m", "1h")
    grace_ms: int = 1000
    close: str = "grace"
    activity: tuple[str, ...] = ()

    def kinds(self) -> tuple[ActivityKind, ...]:
        """Return the kinds of activity bars. Raises ConfigError."""
        return tuple(ActivityKind.parse(text) for text in self.activity)


class FlowConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Order flow. All of it is off by default.

    `footprint` and `profile`: their intervals (a footprint needs bars of its interval). `level`: the width of
    price levels in quote currency, by instrument (default: about 0.01 % of the price). `imbalance_ratio`: how
    many times the volume of the other side makes a level imbalanced ("0": off). `imbalance_run`: how many
    imbalanced levels in a row are stacked. `large`: the size from which a trade is large, in base units, by
    instrument. `book`: the intervals at which the best bid and ask and `depth` levels of the book are
    sampled.
    """

    footprint: tuple[str, ...] = ()
    level: dict[str, str] = {}
    imbalance_ratio: str = "3"
    imbalance_run: int = 3
    profile: tuple[str, ...] = ()
    large: dict[str, str] = {}
    book: tuple[str, ...] = ()
    depth: int = 5


class StrategyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One strategy: `use` is module:Class. `name` defaults to the class name, `coins` to all instruments.

    `on_failure`: "halt" (default: cancel own orders, refuse new ones) or "quarantine" (only this strategy
    stops).
    """

    use: str = "engine.strategies.crossover:Crossover"
    name: str = ""
    params: dict[str, str | int | float | bool | None] = {}
    coins: tuple[str, ...] = ()
    on_failure: str = "halt"

    @property
    def title(self) -> str:
        """The strategy's name in events."""
        return self.name or self.use.rpartition(":")[2]


class RiskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits. Money is in quote currency, sizes are in base units by instrument. 0 or absent: no limit."""

    max_order_notional: str = "25000"
    max_position_notional: str = "100000"
    max_orders_per_minute: int = 60
    max_order_size: dict[str, str] = {}
    max_position_size: dict[str, str] = {}


class PaperConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated venue. Defaults: Hyperliquid's fee tier 0, 100 ms of latency, 1 basis point of slippage.

    `slippage_bps` worsens the price of every taker fill. A resting order fills only when a trade goes
    through its price, or, with `fill_on_touch`, when a trade is at its price (as if first in the queue).
    """

    latency_ms: int = 100
    taker_fee: str = "0.00045"
    maker_fee: str = "0.00015"
    slippage_bps: int = 1
    fill_on_touch: bool = False


class AccountConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The paper account: cash at the start, in quote currency."""

    cash: str = "100000"


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Market data besides trades and the best bid and ask, and how the feed is checked.

    `channels`: any of "l2Book", "l2BookFast", "candle", "activeAssetCtx", "allMids". `warmup_bars`: how many
    closed candles of each bar interval strategies receive before the first trade (0: none).
    `check_minutes`: how often closed bars are compared with the venue's candles (0: never). `poll_after_s`:
    how long the websocket may be down before candles are polled over REST (0: never). `backfill_minutes`: how
    often the history of candles and funding rates is updated (0: never).
    """

    channels: tuple[str, ...] = ()
    warmup_bars: int = 100
    check_minutes: int = 5
    poll_after_s: int = 30
    backfill_minutes: int = 0


class VenueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The account that real orders are for, and how they are sent.

    `network` is "mainnet", "testnet" or "sandbox" and must match the venue's address. `account` is the
    address of the master account or sub-account. `vault` is set when `account` is a vault or sub-account to
    sign for. The key is that of the account or of its approved agent: `key_file` (mode 0600), else the
    environment variable `key_env`, else the keyring entry `key_ring`. `transport`: "rest" or "post" (over the
    websocket).

    The venue refuses an order that arrives more than `expires_ms` after it was sent. The venue is asked about
    a command without a report after `answer_ms`. A market order is an Ioc at most `slippage_bps` beyond the
    best bid or ask. `dead_man_s`: the venue cancels all orders when it has not heard from the engine for that
    long (0: off; venues require trading volume for it). `adopt` takes over a position that the account
    already has; otherwise that instrument is halted. `leverage` is set at the start, by instrument.
    """

    network: str = "sandbox"
    account: str = ""
    vault: str = ""
    key_file: str = ""
    key_env: str = "RETAPE_KEY"
    key_ring: str = ""
    transport: str = "rest"
    expires_ms: int = 10_000
    answer_ms: int = 5_000
    slippage_bps: int = 100
    dead_man_s: int = 0
    adopt: bool = False
    leverage: dict[str, int] = {}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides what the actors do. `mode` is "paper" or "live" (real orders).

    `seed` is the seed of `self.random` of the strategies. `venues` holds the sections `[venues.NAME]`, each
    the own settings of one venue, which that venue checks; without any, the recorded text has no such key.
    """

    mode: str = "paper"
    coins: tuple[str, ...] = ()
    strategies: tuple[StrategyConfig, ...] = (StrategyConfig(),)
    bars: BarsConfig = BarsConfig()
    risk: RiskConfig = RiskConfig()
    paper: PaperConfig = PaperConfig()
    account: AccountConfig = AccountConfig()
    flow: FlowConfig = FlowConfig()
    data: DataConfig = DataConfig()
    venue: VenueConfig = VenueConfig()
    seed: int = 1
    venues: dict[str, dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET

    def canonical(self) -> str:
        """Return the configuration as JSON with sorted keys: equal text means equal configuration."""
        return msgspec.json.encode(self, order="deterministic").decode()


def load_config(path: Path) -> Config:
    """Read a TOML file. Raises ConfigError naming the file and the fault."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); check the path given to --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None
    try:
        return parse_config(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(data: dict[str, Any] | str) -> Config:
    """Return the configuration in a TOML table or in canonical JSON. Raises ConfigError."""
    if isinstance(data, str):
        try:
            data = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise ConfigError(f"the recorded configuration is not JSON: {error}") from None
    _refuse_unknown_keys(data, Config, "")
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from None
    _check(config)
    return config


def read_section(config: Config, name: str, cls: type[_Section]) -> _Section:
    """Return the section `[venues.NAME]` as the venue's struct. Raises ConfigError naming the key."""
    data = {} if config.venues is msgspec.UNSET else config.venues.get(name, {})
    where = f"venues.{name}."
    _refuse_unknown_keys(data, cls, where)
    try:
        return msgspec.convert(data, cls)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where.rstrip('.')}: {error}") from None


def check_instruments(config: Config, names: list[str]) -> None:
    """Raise UsageError if the configuration names an instrument that is not among those of the session."""
    used = [("coins", name) for name in config.coins]
    used += [(f"strategy {entry.title}", name) for entry in config.strategies for name in entry.coins]
    used += [("risk", name) for name in (*config.risk.max_order_size, *config.risk.max_position_size)]
    used += [("venue.leverage", name) for name in config.venue.leverage]
    for where, name in used:
        if name not in names:
            raise UsageError(
                f"{where}: {name!r} is not an instrument of this session; {nearest(name, names)}"
            )


def nearest(name: str, known: list[str]) -> str:
    """Return "did you mean a, b?" or the first known names, for the end of an error message."""
    close = difflib.get_close_matches(name, known, 3, 0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    return f"known: {', '.join(known[:12])}{' ...' if len(known) > 12 else ''}"


def _refuse_unknown_keys(data: Any, cls: type[msgspec.Struct], where: str) -> None:
    if not isinstance(data, dict):
        return
    fields = {field.name: field for field in msgspec.structs.fields(cls)}
    for key, value in data.items():
        if key not in fields:
            raise ConfigError(f"there is no key {where + key!r}; {nearest(key, sorted(fields))}")
        inner = fields[key].default
        if isinstance(inner, msgspec.Struct):
            _refuse_unknown_keys(value, type(inner), f"{where}{key}.")
        elif key == "strategies" and isinstance(value, list):
            for entry in value:
                _refuse_unknown_keys(entry, StrategyConfig, "strategies.")


def _check_flow(config: Config) -> None:
    flow = config.flow
    for key in ("footprint", "profile", "book"):
        for name in getattr(flow, key):
            try:
                parse_interval(name)
            except UsageError as error:
                raise ConfigError(f"flow.{key}: {error}") from None
    for name in flow.footprint:
        if name not in config.bars.intervals:
            raise ConfigError(f"flow.footprint: {name!r} is not among bars.intervals")
    texts = [("flow.imbalance_ratio", flow.imbalance_ratio)]
    texts += [
        (f"flow.{key}.{name}", text)
        for key in ("level", "large")
        for name, text in getattr(flow, key).items()
    ]
    for where, text in texts:
        try:
            value = parse_scaled(text, MONEY_TEXT_SCALE)
        except NumberError as error:
            raise ConfigError(f"{where}: {error}") from None
        if not value and where != "flow.imbalance_ratio":
            raise ConfigError(f"{where}: must be above 0")
    for key in ("imbalance_run", "depth"):
        if getattr(flow, key) < 1:
            raise ConfigError(f"flow.{key}: must be at least 1")


def _check(config: Config) -> None:
    """Raise ConfigError, naming the key, for a value that would fail later."""
    try:
        spans_ns = sorted(parse_interval(name) for name in config.bars.intervals)
    except UsageError as error:
        raise ConfigError(f"bars.intervals: {error}") from None
    # Weeks and months are made of days.
    if not spans_ns or any((min(span, DAY_NS)) % spans_ns[0] for span in spans_ns[1:]):
        raise ConfigError("bars.intervals: give at least one, each a multiple of the shortest")
    _check_flow(config)
    kinds = config.bars.kinds()
    if len(set(config.bars.activity)) != len(kinds):
        raise ConfigError("bars.activity: list each kind only once")
    if config.bars.close not in ("grace", "trade"):
        raise ConfigError(f'bars.close: {config.bars.close!r} is not "grace" or "trade"')
    numbers: list[tuple[str, str, int]] = [
        ("risk.max_order_notional", config.risk.max_order_notional, MONEY_TEXT_SCALE),
        ("risk.max_position_notional", config.risk.max_position_notional, MONEY_TEXT_SCALE),
        ("account.cash", config.account.cash, MONEY_TEXT_SCALE),
        ("paper.taker_fee", config.paper.taker_fee, FEE_SCALE),
        ("paper.maker_fee", config.paper.maker_fee, FEE_SCALE),
    ]
    for key, text, scale in numbers:
        try:
            parse_scaled(text, scale, signed=key == "paper.maker_fee")
        except NumberError as error:
            raise ConfigError(f"{key}: {error}") from None
    for table in ("max_order_size", "max_position_size"):
        for name, size in getattr(config.risk, table).items():
            try:
                to_grid(size, scale=0)  # any number of decimals: sizes are compared exactly
            except NumberError as error:
                raise ConfigError(f"risk.{table}.{name}: {error}") from None
    whole = {
        "bars.grace_ms": config.bars.grace_ms,
        "paper.latency_ms": config.paper.latency_ms,
        "paper.slippage_bps": config.paper.slippage_bps,
        "risk.max_orders_per_minute": config.risk.max_orders_per_minute,
        "data.warmup_bars": config.data.warmup_bars,
        "data.check_minutes": config.data.check_minutes,
        "data.poll_after_s": config.data.poll_after_s,
        "data.backfill_minutes": config.data.backfill_minutes,
        "venue.expires_ms": config.venue.expires_ms,
        "venue.answer_ms": config.venue.answer_ms,
        "venue.slippage_bps": config.venue.slippage_bps,
        "venue.dead_man_s": config.venue.dead_man_s,
    }
    for key, value in whole.items():
        if not 0 <= value <= 3_600_000:
            raise ConfigError(f"{key}: {value} is out of range (0 to 3600000)")
    _check_venue(config)
    titles = [strategy.title for strategy in config.strategies]
    for strategy in config.strategies:
        if strategy.title in RESERVED_NAMES:
            raise ConfigError(
                f"strategies: {strategy.title!r} is the name of an actor of the engine; choose another name"
            )
        if titles.count(strategy.title) > 1:
            raise ConfigError(f"strategies: two are named {strategy.title!r}; give one of them another name")
        if strategy.on_failure not in ("halt", "quarantine"):
            raise ConfigError(f"strategies.on_failure: {strategy.on_failure!r} is not 'halt' or 'quarantine'")


def _check_venue(config: Config) -> None:
    """Raise ConfigError, naming the key, for what no venue can serve; `engine.venue.Venue.check` goes on."""
    choices: list[tuple[str, str, tuple[str, ...]]] = [("mode", config.mode, ("paper", "live"))]
    choices += [("data.channels", channel, CHANNELS) for channel in config.data.channels]
    for key, value, allowed in choices:
        if value not in allowed:
            raise ConfigError(f"{key}: {value!r} is not one of {', '.join(allowed)}")
    for name, leverage in config.venue.leverage.items():
        if not 1 <= leverage <= 1000:
            raise ConfigError(f"venue.leverage.{name}: {leverage} is out of range (1 to 1000)")
