"""The sections of a configuration and their defaults, with a description of every key.

`engine config` prints the descriptions and `docs/configuration.md` lists them. Fields and defaults are
recorded (`SessionStarted.config`), so a new key comes last.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from engine.config.simulated import FEE_SCALE, MONEY_TEXT_SCALE, SimulatedConfig
from engine.errors import ConfigError, NumberError
from engine.values import parse_scaled

__all__ = [
    "CHANNELS",
    "FEE_SCALE",
    "MONEY_TEXT_SCALE",
    "PRICE_TEXT_SCALE",
    "RECORDED_INSTRUMENTS",
    "AccountConfig",
    "ActivityKind",
    "BarsConfig",
    "Config",
    "DataConfig",
    "FlowConfig",
    "LimitsConfig",
    "MirrorConfig",
    "PaperConfig",
    "ReportConfig",
    "RiskConfig",
    "SimulatedConfig",
    "StrategyConfig",
    "VenueConfig",
]

RECORDED_INSTRUMENTS: Final = "coins"
"""The key `instruments` in recorded configurations. It was the name of the key in files too, and still may be
used there; a recorded text must not change, since sessions are compared by it."""

CHANNELS: Final = ("l2Book", "l2BookFast", "candle", "activeAssetCtx", "allMids")
"""Channels of market data besides trades and the best bid and ask."""

ACTIVITY_MEASURES: Final = ("tick", "volume", "value", "imbalance")
"""Measures of activity bars."""

PRICE_TEXT_SCALE: Final = 12
"""Most decimal places of a price in the configuration."""


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
    """Which bars are built, and when they close."""

    intervals: Annotated[
        tuple[str, ...], Meta(description="Time bars, 1s to 1M; each a multiple of the shortest.")
    ] = ("1m", "5m", "15m", "1h")
    grace_ms: Annotated[int, Meta(description="How long a bar waits after its end for late trades.")] = 1000
    close: Annotated[
        str,
        Meta(
            description='"grace": every bar waits that long. "trade": the first trade of a later window '
            "closes the bar at once, and late trades correct it."
        ),
    ] = "grace"
    activity: Annotated[
        tuple[str, ...],
        Meta(
            description='Bars that close by activity: "tick:1000" (trades), "volume:50" (base units), '
            '"value:1000000" (quote currency), "imbalance:20" (base units bought less sold). "@BTC" at the '
            "end limits one to that instrument."
        ),
    ] = ()
    proof_ms: Annotated[
        int,
        Meta(
            description="How long a bar waits after that for proof that its feed has delivered all of it; "
            "then it closes as incomplete."
        ),
    ] = 5000

    def kinds(self) -> tuple[ActivityKind, ...]:
        """Return the kinds of activity bars. Raises ConfigError."""
        return tuple(ActivityKind.parse(text) for text in self.activity)


class FlowConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Order flow: footprints, profiles, large trades, books, liquidations. All of it is off by default.

    Without `liquidations` the recorded text has no such key, as before there was one.
    """

    footprint: Annotated[
        tuple[str, ...], Meta(description="Intervals of footprints; each must be among `bars.intervals`.")
    ] = ()
    level: Annotated[
        dict[str, str],
        Meta(
            description="Width of price levels in quote currency, by instrument. Default: about 0.01 % of "
            "the price."
        ),
    ] = {}
    imbalance_ratio: Annotated[
        str, Meta(description='How many times the other side\'s volume makes a level imbalanced; "0": off.')
    ] = "3"
    imbalance_run: Annotated[
        int, Meta(description="How many imbalanced levels next to each other are stacked.")
    ] = 3
    profile: Annotated[tuple[str, ...], Meta(description="Intervals of volume profiles.")] = ()
    large: Annotated[
        dict[str, str], Meta(description="Size from which a trade is large, in base units, by instrument.")
    ] = {}
    book: Annotated[
        tuple[str, ...], Meta(description="Intervals at which the best bid and ask and the book are sampled.")
    ] = ()
    depth: Annotated[int, Meta(description="Levels of the book in a sample.")] = 5
    liquidations: Annotated[
        tuple[str, ...] | msgspec.UnsetType,
        Meta(description="Intervals of the heat map of liquidations, by price level.", extra={"default": ()}),
    ] = msgspec.UNSET

    def __post_init__(self) -> None:
        """Take no intervals as none given."""
        if not self.liquidations:
            msgspec.structs.force_setattr(self, "liquidations", msgspec.UNSET)


class StrategyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One strategy. The section can be repeated."""

    use: Annotated[
        str,
        Meta(
            description="module:Class, found in the working directory, beside the configuration file or "
            "among the installed packages."
        ),
    ] = "engine.strategies.crossover:Crossover"
    name: Annotated[str, Meta(description="Its name in events; unique. Default: the class name.")] = ""
    params: Annotated[
        dict[str, str | int | float | bool | None], Meta(description="Its parameters, by name.")
    ] = {}
    instruments: Annotated[tuple[str, ...], Meta(description="Instruments it trades. Default: all.")] = (
        msgspec.field(default=(), name=RECORDED_INSTRUMENTS)
    )
    on_failure: Annotated[
        str,
        Meta(
            description='When it raises. "halt": cancel all own orders, refuse new ones. "quarantine": only '
            "this strategy stops."
        ),
    ] = "halt"

    @property
    def title(self) -> str:
        """The strategy's name in events."""
        return self.name or self.use.rpartition(":")[2]


class RiskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits. Money is in the account's currency, sizes are in base units. 0 or absent: no limit."""

    max_order_notional: Annotated[str, Meta(description="Largest value of one order.")] = "25000"
    max_position_notional: Annotated[
        str, Meta(description="Largest value of a position, with all working orders filled.")
    ] = "100000"
    max_orders_per_minute: Annotated[int, Meta(description="Orders approved in any minute.")] = 60
    max_order_size: Annotated[dict[str, str], Meta(description="Largest order, by instrument.")] = {}
    max_position_size: Annotated[dict[str, str], Meta(description="Largest position, by instrument.")] = {}
    max_price_age_ms: Annotated[
        int, Meta(description="Openings are refused on a price older than this; exits never are.")
    ] = 5_000
    exit_bps: Annotated[
        int, Meta(description="A market order that closes trades at most this far beyond the known prices.")
    ] = 800
    protect_bps: Annotated[
        int,
        Meta(description="The same for a protective exit, measured from its trigger or the known prices."),
    ] = 1_000
    netting: Annotated[
        str,
        Meta(
            description='"allow": strategies may hold opposite positions in a market. "refuse": an opening '
            "that would do so is refused."
        ),
    ] = "allow"
    on_stop: Annotated[
        str,
        Meta(
            description='On an orderly stop: "keep" positions and protective orders, "cancel" every order, '
            'or "flatten" all positions first.'
        ),
    ] = "keep"
    max_daily_loss: Annotated[
        str,
        Meta(
            description="The engine halts once a UTC day has cost this much, fees and open losses included, "
            "until an operator resumes. Deposits and withdrawals do not count."
        ),
    ] = "0"
    max_drawdown_percent: Annotated[
        str, Meta(description="The same for the fall from the highest equity, in percent of it.")
    ] = "0"
    flatten_on_loss: Annotated[
        bool, Meta(description="A loss limit that is reached closes all positions too.")
    ] = False
    max_leverage: Annotated[
        str,
        Meta(
            description="Largest value of all positions, with all working orders filled, as a multiple of "
            "the equity."
        ),
    ] = "0"
    max_open_positions: Annotated[
        int,
        Meta(
            description="Most positions at a time, of all strategies and instruments; an order that opens "
            "one counts."
        ),
    ] = 0
    cooldown: Annotated[
        str,
        Meta(
            description='How long a strategy opens nothing after one of its stops or trails closed: "90s", '
            '"15m", "2h".'
        ),
    ] = "0s"


class PaperConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated venue of paper trading and backtests."""

    latency_ms: Annotated[int, Meta(description="From sending an order to its arrival.")] = 100
    taker_fee: Annotated[
        str, Meta(description="Fraction of the value of a fill. Default: the venue's for the market.")
    ] = ""
    maker_fee: Annotated[str, Meta(description="The same; negative is a rebate.")] = ""
    slippage_bps: Annotated[
        int, Meta(description="Worsens the price of a taker where the data has no book.")
    ] = 1
    fill_on_touch: Annotated[
        bool,
        Meta(
            description="A resting order fills when a trade is at its price (as if first in the queue), not "
            "only when one goes through it."
        ),
    ] = False
    liquidation_bps: Annotated[
        int,
        Meta(
            description="How much worse than the mark a liquidation closes, where the data has neither a "
            "book nor a best bid and ask."
        ),
    ] = 100


class AccountConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The account's money and margin. `cash` is that of paper sessions and backtests."""

    cash: Annotated[str, Meta(description="Cash at the start, in quote currency.")] = "100000"
    leverage: Annotated[
        dict[str, int],
        Meta(
            description="Leverage by instrument; with real orders it is set at the start. Default: the "
            "venue's."
        ),
    ] = {}
    margin: Annotated[
        str,
        Meta(
            description='"cross": positions share the equity. "isolated": each has margin of its own, and '
            "can lose no more."
        ),
    ] = "cross"
    currency: Annotated[
        str,
        Meta(
            description="Currency that the account is valued in. Default: the first market's quote currency."
        ),
    ] = ""
    prices: Annotated[
        dict[str, str],
        Meta(
            description="What one unit of another currency or asset (of a fee, a market's quote) is worth: a "
            'number, or the name of a market of this session, as in `{ BNB = "BNB/USDC" }`.'
        ),
    ] = {}


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Market data besides trades and the best bid and ask, and how the feed is checked."""

    channels: Annotated[
        tuple[str, ...],
        Meta(
            description="By the venue's names; at Hyperliquid any of `l2Book`, `l2BookFast`, `candle`, "
            "`activeAssetCtx`, `allMids`."
        ),
    ] = ()
    warmup_bars: Annotated[
        int,
        Meta(
            description="Closed candles of each interval that strategies receive before the first trade; 0: "
            "none."
        ),
    ] = 100
    check_minutes: Annotated[
        int, Meta(description="How often closed bars are compared with the venue's candles; 0: never.")
    ] = 5
    poll_after_s: Annotated[
        int,
        Meta(description="How long the websocket may be down before candles are polled over REST; 0: never."),
    ] = 30
    backfill_minutes: Annotated[
        int, Meta(description="How often the history of candles and funding rates is updated; 0: never.")
    ] = 0


EXIT_EXPIRES_MS: Final = 2_000
"""`[venue] exit_expires_ms` of sessions with real orders. Days without it replay with `expires_ms`."""


class VenueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The account that real orders are for, and how they are sent. Paper sessions read none of it."""

    network: Annotated[
        str, Meta(description='"mainnet", "testnet" or "sandbox"; must match the address of the venue.')
    ] = "sandbox"
    account: Annotated[str, Meta(description="Address of the account, not of its agent.")] = ""
    vault: Annotated[str, Meta(description="Address of a vault or sub-account to sign for.")] = ""
    key_file: Annotated[
        str, Meta(description="File with the key of the account or its agent, mode 0600.")
    ] = ""
    key_env: Annotated[
        str, Meta(description="Without `key_file`: the environment variable that holds the key.")
    ] = "RETAPE_KEY"
    key_ring: Annotated[str, Meta(description="Without either: the entry in the desktop's keyring.")] = ""
    transport: Annotated[str, Meta(description='Of orders: "rest" or "post" (over the websocket).')] = "rest"
    expires_ms: Annotated[
        int, Meta(description="The venue refuses an order that arrives later than this after it was sent.")
    ] = 10_000
    answer_ms: Annotated[
        int, Meta(description="A command without a report is queried at the venue after this long.")
    ] = 5_000
    slippage_bps: Annotated[
        int, Meta(description="A market order is an Ioc at most this far beyond the best bid or ask.")
    ] = 100
    dead_man_s: Annotated[
        int,
        Meta(
            description="Dead man's switch: the venue cancels all orders unless the engine renews it within "
            "this time; 0: off. It would cancel stops too, so it is off while one protects a position at the "
            "venue. Hyperliquid requires 1,000,000 USD of traded volume."
        ),
    ] = 0
    adopt: Annotated[
        bool | dict[str, str],
        Meta(
            description="Give a position that the account already has to the strategy that trades its "
            'market; where several do, name one: `{ BTC = "Trend" }`. Otherwise the market is halted.'
        ),
    ] = False
    exit_expires_ms: Annotated[
        int | msgspec.UnsetType,
        Meta(
            description="The same as `expires_ms` for an order that only closes, so that a lost exit is "
            "replaced soon. Each exit in a row that does not arrive doubles it, up to `expires_ms`; 0: that.",
            extra={"default": EXIT_EXPIRES_MS},
        ),
    ] = msgspec.UNSET


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a session's own."""

    handler_s: Annotated[
        int,
        Meta(
            description="A handler of a strategy that has not returned after this long is reported with its "
            "line; 0: never."
        ),
    ] = 5
    lag_ms: Annotated[
        int,
        Meta(
            description="An engine that handles its inputs later than this after their receipt is reported; "
            "0: only beyond `max_price_age_ms`, when openings are refused."
        ),
    ] = 1_000


class ReportConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the ratios of a report assume. It decides nothing that a session does, and is not recorded."""

    annualise: Annotated[
        int, Meta(description="Days of a year in ratios of a year; 252 counts trading days of stocks.")
    ] = 365
    risk_free_percent: Annotated[
        str, Meta(description="Risk-free return of a year in percent, for Sharpe, Sortino and their kin.")
    ] = "0"


class MirrorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stream that a session copies its journal to. It decides nothing, and is not recorded."""

    url: Annotated[
        str,
        Meta(
            description="`nats://HOST:4222/STREAM` or `kafka://HOST:9092/TOPIC`; "
            "needs the extra `nats` or `kafka`. Default: no mirror."
        ),
    ] = ""
    events: Annotated[bool, Meta(description="Also every record as JSON, in the stream `STREAM-events`.")] = (
        False
    )


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration of a session: everything that determines what the actors do.

    `venues` holds the sections `[venues.NAME]`, the settings of one venue each, which that venue checks;
    without any, the recorded text has no such key. The same holds for `simulated`, and for `accounts`: the
    venues that real orders go to, where each is armed by its name. The command line writes it.

    `stores` holds the sections `[[stores]]`: `kind`, `name` (default: the kind), and settings that this kind
    of store checks (`engine.stores.kinds`). `stores = []` means no store at all. Stores, reports and the
    mirror do not decide what the actors do and are not recorded: with others the configuration is the same.
    """

    mode: Annotated[str, Meta(description='"paper", or "live": real orders.')] = "paper"
    instruments: Annotated[
        tuple[str, ...],
        Meta(
            description='Instruments to trade: `"hyperliquid:BTC"`, or `"BTC"` where the name is unique. '
            "Default: all that the embedded sandbox lists."
        ),
    ] = msgspec.field(default=(), name=RECORDED_INSTRUMENTS)
    strategies: tuple[StrategyConfig, ...] = (StrategyConfig(),)
    bars: BarsConfig = BarsConfig()
    risk: RiskConfig = RiskConfig()
    paper: PaperConfig = PaperConfig()
    account: AccountConfig = AccountConfig()
    flow: FlowConfig = FlowConfig()
    data: DataConfig = DataConfig()
    venue: VenueConfig = VenueConfig()
    seed: Annotated[int, Meta(description="Seed of `self.random` of the strategies.")] = 1
    venues: dict[str, dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    stores: tuple[dict[str, Any], ...] | msgspec.UnsetType = msgspec.UNSET
    limits: LimitsConfig = LimitsConfig()
    simulated: SimulatedConfig | msgspec.UnsetType = msgspec.UNSET
    report: ReportConfig = ReportConfig()
    mirror: MirrorConfig = MirrorConfig()
    accounts: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def named_accounts(self) -> tuple[str, ...]:
        """The venues that real orders go to, by name; () if the session has one account, without a name."""
        return () if self.accounts is msgspec.UNSET else self.accounts

    def canonical(self) -> str:
        """Return what decides results as JSON with sorted keys: equal text means equal configuration."""
        unset = msgspec.UNSET
        recorded = msgspec.structs.replace(self, stores=unset, report=unset, mirror=unset)
        return msgspec.json.encode(recorded, order="deterministic").decode()
