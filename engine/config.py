"""The configuration: what a session trades, how, and within which limits.

Owns the schema and its defaults. A file is TOML with the sections below; every key has a default, an unknown
key is refused with the nearest known one. The whole configuration is recorded in `SessionStarted`
as canonical JSON, so that a replay needs no file.

    coins = ["BTC", "ETH"]          # default: every coin the embedded sandbox lists
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
import re
import tomllib
from pathlib import Path
from typing import Any, Final

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
    "check_coins",
    "load_config",
    "nearest",
    "parse_config",
]

FEE_SCALE: Final = 7
"""Decimal places of a fee rate: 0.00045 is 4500."""

CHANNELS: Final = ("l2Book", "l2BookFast", "candle", "activeAssetCtx", "allMids")
"""What can be read of the market beside trades and the touch."""

ACTIVITY_MEASURES: Final = ("tick", "volume", "value", "imbalance")
"""What bars can be made by instead of time."""

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
"""Names of the engine's own actors and accounts."""

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")

MONEY_TEXT_SCALE: Final = 6
"""Decimal places that an amount of money in the configuration may have."""


class ActivityKind(msgspec.Struct, frozen=True):
    """One kind of bar by what was traded: its name in events, what it measures, when it closes, of which
    coin."""

    name: str
    measure: str
    threshold: str
    coin: str

    @classmethod
    def parse(cls, text: str) -> ActivityKind:
        """Return the kind named measure:threshold or measure:threshold@COIN. Raises ConfigError."""
        name, _, coin = text.partition("@")
        measure, _, threshold = name.partition(":")
        try:
            level = parse_scaled(threshold, 0 if measure == "tick" else MONEY_TEXT_SCALE)
        except NumberError as error:
            raise ConfigError(f"bars.activity: {text!r}: {error}") from None
        if measure not in ACTIVITY_MEASURES or not level:
            known = ", ".join(ACTIVITY_MEASURES)
            raise ConfigError(f"bars.activity: {text!r}: write it as volume:50; measures: {known}")
        return cls(name, measure, threshold, coin)


class BarsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which time bars are built, and when they close.

    `grace_ms`: how long after its end a bar waits for late prints. `close` is "grace" (default: that long in
    any case) or "trade": the first print of a later window closes it at once, and late prints correct it.

    `activity` names bars by what was traded: "tick:1000" (prints), "volume:50" (base units), "value:1000000"
    (quote currency), "imbalance:20" (base units bought less sold); with "@BTC" behind it of that coin only.
    """

    intervals: tuple[str, ...] = ("1m", "5m", "15m", "1h")
    grace_ms: int = 1000
    close: str = "grace"
    activity: tuple[str, ...] = ()

    def kinds(self) -> tuple[ActivityKind, ...]:
        """Return the kinds of activity bars. Raises ConfigError."""
        return tuple(ActivityKind.parse(text) for text in self.activity)


class FlowConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Order flow; all of it is off by default.

    `footprint` and `profile`: of which intervals (footprints only of intervals that have bars). `level`:
    how wide price levels are, by coin, in quote currency (default: about a hundredth of a percent).
    `imbalance_ratio` and `imbalance_run`: from how many times the other side on a level is imbalanced, and
    how many levels next to each other are stacked ("0": none are looked for). `large`: from which size on a
    print is large, by coin in base units. `book`: of which intervals the touch and the book are sampled,
    `depth` levels of it.
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
    """One strategy: `use` is module:Class, `name` defaults to the class name, `coins` to all there are.

    `on_failure`: "halt" (default: cancel own orders, no new risk) or "quarantine" (only this strategy stops).
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
    """Limits; money is in quote currency, sizes are per coin in base units. 0 or absent: no limit."""

    max_order_notional: str = "25000"
    max_position_notional: str = "100000"
    max_orders_per_minute: int = 60
    max_order_size: dict[str, str] = {}
    max_position_size: dict[str, str] = {}


class PaperConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated venue. Defaults: Hyperliquid's fee tier 0, 100 ms of latency, 1 basis point of slippage.

    `slippage_bps` worsens the price of every taker fill. A resting order fills only when a print goes
    through its price, or, with `fill_on_touch`, when one touches it (no queue ahead of us).
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
    """What is read of the market beside trades and the touch, and how it is watched.

    `channels`: any of "l2Book", "l2BookFast", "candle", "activeAssetCtx", "allMids". `warmup_bars`: how many
    closed candles of each bar interval strategies are shown before the first print (0: none).
    `check_minutes`: how often closed bars are compared with the venue's candles (0: never). `poll_after_s`:
    how long the websocket may be down before candles are polled over REST (0: never). `backfill_minutes`: how
    often the history of candles and funding rates is brought up to date (0: never).
    """

    channels: tuple[str, ...] = ()
    warmup_bars: int = 100
    check_minutes: int = 5
    poll_after_s: int = 30
    backfill_minutes: int = 0


class VenueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The account that real orders are for, and how they are sent.

    `network` is "mainnet", "testnet" or "sandbox" and has to be that of the venue's address. `account` is the
    master's (or sub-account's) address, `vault` is set when that is a vault or sub-account to sign for. The
    key is that of the account or of its approved agent: `key_file` (mode 0600), else the environment variable
    `key_env`, else the keyring's entry `key_ring`. `transport`: "rest" or "post" (over the websocket).

    An order expires `expires_ms` after it was sent unless the venue has it by then. A command without any
    report after `answer_ms` is asked about. A market order is an Ioc
    at most `slippage_bps` beyond the touch. `dead_man_s` has the venue cancel everything when nothing was
    heard of us for so long (0: off; venues ask for volume). `adopt` takes over a position that the account
    already has; otherwise such a market is halted. `leverage` is set per coin at the start.
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
    """Everything that decides what the actors do. `mode` is "paper" or "live": real orders.

    `seed` is what the strategies' chance (`self.random`) begins with.
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

    def canonical(self) -> str:
        """Return the configuration as JSON with sorted keys: equal text means equal configuration."""
        return msgspec.json.encode(self, order="deterministic").decode()


def load_config(path: Path) -> Config:
    """Read a TOML file. Raises ConfigError naming the file and what is wrong in it."""
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


def check_coins(config: Config, names: list[str]) -> None:
    """Raise UsageError for a coin that something names but a session on these markets does not trade."""
    used = [("coins", coin) for coin in config.coins]
    used += [(f"strategy {entry.title}", coin) for entry in config.strategies for coin in entry.coins]
    used += [("risk", coin) for coin in (*config.risk.max_order_size, *config.risk.max_position_size)]
    used += [("venue.leverage", coin) for coin in config.venue.leverage]
    for where, coin in used:
        if coin not in names:
            raise UsageError(f"{where}: {coin!r} is no coin of this session; {nearest(coin, names)}")


def nearest(name: str, known: list[str]) -> str:
    """Return "; did you mean a, b?" or the first known names, for the end of an error."""
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
        (f"flow.{key}.{coin}", text)
        for key in ("level", "large")
        for coin, text in getattr(flow, key).items()
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
    """Refuse values that would only fail later. Raises ConfigError naming the key."""
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
        raise ConfigError("bars.activity: each kind once")
    if config.bars.close not in ("grace", "trade"):
        raise ConfigError(f'bars.close: {config.bars.close!r} is neither "grace" nor "trade"')
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
        for coin, size in getattr(config.risk, table).items():
            try:
                to_grid(size, scale=0)  # any number of decimals: it is compared exactly
            except NumberError as error:
                raise ConfigError(f"risk.{table}.{coin}: {error}") from None
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
            raise ConfigError(f"strategies: {strategy.title!r} is a name of the engine's own; give another")
        if titles.count(strategy.title) > 1:
            raise ConfigError(f"strategies: two are named {strategy.title!r}; give one a name")
        if strategy.on_failure not in ("halt", "quarantine"):
            raise ConfigError(
                f"strategies.on_failure: {strategy.on_failure!r} is neither 'halt' nor 'quarantine'"
            )


def _check_venue(config: Config) -> None:
    """Refuse what cannot be of the account and of the channels. Raises ConfigError naming the key."""
    venue = config.venue
    choices: list[tuple[str, str, tuple[str, ...]]] = [
        ("mode", config.mode, ("paper", "live")),
        ("venue.network", venue.network, ("mainnet", "testnet", "sandbox")),
        ("venue.transport", venue.transport, ("rest", "post")),
    ]
    choices += [("data.channels", channel, CHANNELS) for channel in config.data.channels]
    for key, value, allowed in choices:
        if value not in allowed:
            raise ConfigError(f"{key}: {value!r} is none of {', '.join(allowed)}")
    for key, address in (("account", venue.account), ("vault", venue.vault)):
        if address and not _ADDRESS.fullmatch(address):
            raise ConfigError(f"venue.{key}: {address[:50]!r} is not an address of 0x and 40 hex digits")
    for coin, leverage in venue.leverage.items():
        if not 1 <= leverage <= 1000:
            raise ConfigError(f"venue.leverage.{coin}: {leverage} is out of range (1 to 1000)")
