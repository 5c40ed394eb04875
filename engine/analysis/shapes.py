"""The rows and tables of a report, as plain structs.

Owns what each field means and its unit: money, sizes and other exact numbers are decimal text in the currency
of the account, times are UTC nanoseconds, ratios and percentages are floats. Whatever has no number is None.
Filled by `collecting`, `groups`, `curves` and `report`; read by pages, tables, searches and notebooks.
"""

from __future__ import annotations

import msgspec

from engine.analysis.formulas import DAYS_MIN, YEAR_DAYS

__all__ = [
    "BEFORE",
    "MORE",
    "OPEN_END",
    "OTHER",
    "Costs",
    "Curve",
    "Day",
    "DayPoint",
    "Exposure",
    "FallRow",
    "FillRow",
    "Fingerprints",
    "Gap",
    "GroupRow",
    "IncompleteBar",
    "Month",
    "ReportSettings",
    "RoundTrip",
    "Series",
    "SessionRow",
]

OPEN_END = "(open at the end)"
"""The exit of a position that is open at the end of the period, in tables by exit."""

BEFORE = "(open before)"
"""The entry of a position that was open before the period, in tables by entry."""

MORE = "(more)"
"""The row of all names beyond those that a table holds."""

OTHER = "(other)"
"""The row of what belongs to no book or entry: fees in other assets, money in other currencies, differences
to a real account, and what prices did between a mark of the account and the begin or end of the period."""


class RoundTrip(msgspec.Struct, frozen=True):
    """A book from flat to flat. Money and sizes are exact decimal text, times UTC nanoseconds.

    `net` is the profit after `fees`; `funding` is not in it. Prices are averages. `mae` and `mfe` are the
    worst and the best result before fees at any price while it was open, at most and at least 0; in percent
    of what was opened until then. The prices are the prints of the instrument and the path along its
    candles; before any print, the side of the quotes that would close it. `exit_by` is what closed it: the
    purpose of the order, or the cause of a fill without one. `entry_plots` and `exit_plots` are the newest
    numbers that the strategy had plotted for the instrument at the first and at the last fill, by name;
    plotted in the period.
    """

    strategy: str
    instrument: str
    side: str
    size: str
    entry_price: float | None
    exit_price: float | None
    profit: str
    fees: str
    net: str
    entered_ns: int
    exited_ns: int
    entry_reason: str
    exit_reason: str
    exit_by: str
    mae: str
    mfe: str
    mae_percent: float
    mfe_percent: float
    entry_seq: int
    exit_seq: int
    funding: str = "0"
    entry_plots: dict[str, float] = {}
    exit_plots: dict[str, float] = {}


class FillRow(msgspec.Struct, frozen=True):
    """A fill, or the part of one in the book of its owner. `seq` is its record.

    `role` is "open" or "close", `liquidity` "maker" or "taker" where the venue says it, `fee_asset` "" if the
    fee is in the quote currency of the instrument. `reason` is that of the order, `by` its purpose, or the
    cause of a fill without one.
    """

    seq: int
    at_ns: int
    strategy: str
    instrument: str
    side: str
    price: str
    size: str
    fee: str
    fee_asset: str
    role: str
    liquidity: str
    reason: str
    by: str


class FallRow(msgspec.Struct, frozen=True):
    """One of the worst drawdowns. `depth` is money; `end_ns` is None if the equity has not recovered."""

    start_ns: int
    valley_ns: int
    end_ns: int | None
    depth: str
    percent: float | None
    days: float


class DayPoint(msgspec.Struct, frozen=True):
    """The account at a midnight UTC, at the begin or at the end of the period.

    `moved` is the sum of deposits less withdrawals, `fees` of fees and `funding` of funding since the account
    began.
    """

    at_ns: int
    equity: str
    moved: str
    fees: str = "0"
    funding: str = "0"


class Day(msgspec.Struct, frozen=True):
    """A day UTC, or the part of it that is in the period.

    `end_ns` and `equity` are of its end. `net_profit` is the change of the equity without deposits, after
    `fees` and with `funding`. `return_percent` is None once the equity was 0 or below. `round_trips` ended
    in it.
    """

    day: str
    end_ns: int
    equity: str
    net_profit: str
    fees: str
    funding: str
    return_percent: float | None
    round_trips: int


class Month(msgspec.Struct, frozen=True):
    """The return of a month UTC, or of the part of it that is in the period. `days` are its daily returns.

    Money is exact decimal text; `round_trips` ended in the month. `return_percent` is None once the equity
    was 0 or below.
    """

    month: str
    return_percent: float | None
    days: int
    net_profit: str = "0"
    fees: str = "0"
    funding: str = "0"
    round_trips: int = 0


class GroupRow(msgspec.Struct, frozen=True):
    """What belongs together by instrument, strategy, reason, hour or weekday.

    `name` is the instrument, strategy or reason, the hour ("00" to "23") or the weekday ("Monday"), UTC, of
    the entry; or `BEFORE`, `OPEN_END`, `MORE`, `OTHER`. `round_trips`, `won`, `lost` and the ratios are of
    round trips that ended. Money counts positions too that are open at the end or were open before: their
    part is `open_profit`, after fees and funding. net_profit = profit - fees + funding. The rows of one table
    sum exactly to `net_profit`, `fees` and `funding` of the report.
    """

    name: str
    round_trips: int
    won: int
    lost: int
    profit: str
    fees: str
    funding: str
    net_profit: str
    open_profit: str
    win_rate_percent: float | None
    profit_factor: float | None
    best: str | None
    worst: str | None


class Curve(msgspec.Struct, frozen=True):
    """Values over time, both lists of one length, times rising: of values at one time, the last.

    At most `engine.analysis.curves.POINTS_MAX` points. A longer curve is `thinned`: it keeps the first, the
    lowest, the highest and the last value of each of equal spans of time, so the extremes of the whole too.
    """

    at_ns: list[int] = []
    values: list[float] = []
    thinned: bool = False


class Series(msgspec.Struct, frozen=True):
    """Curves of the period.

    `equity` is money, at every mark of the account. `drawdown` is in percent below the peak, 0 or above, at
    the same marks. `benchmark` is what the equity at the start would be worth if all instruments had been
    bought in equal parts, each at the close of its first bar, at closes of bars. `gross` and `net` are the
    notional of all positions in percent of the equity: sums of sizes and of signed sizes times prices.
    """

    equity: Curve = Curve()
    drawdown: Curve = Curve()
    benchmark: Curve = Curve()
    gross: Curve = Curve()
    net: Curve = Curve()


class Exposure(msgspec.Struct, frozen=True):
    """How much was at risk. Percentages of time are of the period, those of notional of the equity.

    Means are weighted by time and count times without a position as 0. `net` is signed: short is negative.
    The notional is measured at each change of a position and at the first mark of every five minutes.
    """

    time_percent: float | None = None
    long_percent: float | None = None
    short_percent: float | None = None
    gross_mean_percent: float | None = None
    gross_max_percent: float | None = None
    net_mean_percent: float | None = None
    net_min_percent: float | None = None
    net_max_percent: float | None = None
    reason: str = ""


class Costs(msgspec.Struct, frozen=True):
    """What the profit before costs was spent on.

    gross_profit = net_profit + fees - funding + slippage, with the slippage that is known. Shares are in
    percent of it: a positive share is a cost. Without a gross profit above 0 they are None, and `reason` says
    so.
    """

    gross_profit: str | None = None
    fees: str | None = None
    funding: str | None = None
    slippage: str | None = None
    net_profit: str | None = None
    fees_percent: float | None = None
    funding_percent: float | None = None
    slippage_percent: float | None = None
    maker_fees: str = "0"
    taker_fees: str = "0"
    reason: str = ""


class Gap(msgspec.Struct, frozen=True):
    """A time in which trades of an instrument may be missing. `seq` is the record that says so."""

    instrument: str
    from_ns: int
    to_ns: int
    seq: int = 0


class IncompleteBar(msgspec.Struct, frozen=True):
    """A bar that lacks trades and that no correction made complete. `because` is the reason it gives."""

    instrument: str
    interval: str
    start_ns: int
    because: str
    seq: int


class SessionRow(msgspec.Struct, frozen=True):
    """A session of the period, as it was recorded when it began.

    `code` is the fingerprint of the engine's sources that decide results, `configuration` that of the
    configuration, `schema` that of the event types; `strategies` are (name, module:Class, source hash).
    """

    session: str
    mode: str
    started_ns: int
    version: str
    code: str
    schema: str
    configuration: str
    python: str
    strategies: list[tuple[str, str, str]]


class Fingerprints(msgspec.Struct, frozen=True):
    """What the numbers are of: equal fingerprints mean equal numbers.

    `digest` is that of the last record of the period: it depends on every record before it. The others are
    those of the newest session; `sessions` has the sessions, oldest first, at most a hundred of them.
    """

    digest: str = ""
    code: str = ""
    configuration: str = ""
    strategies: list[tuple[str, str, str]] = []
    environment: dict[str, str] = {}
    sessions: list[SessionRow] = []
    sessions_count: int = 0


class ReportSettings(msgspec.Struct, frozen=True):
    """What the ratios of a year assume: days of a year, the risk-free rate in percent a year, and the number
    of daily returns below which nothing is stated for a year."""

    annualise: int = YEAR_DAYS
    risk_free_percent: float = 0.0
    days_min: int = DAYS_MIN

    @property
    def daily_rate(self) -> float:
        """The risk-free return of a day, which compounds to that of a year."""
        return (
            (1 + self.risk_free_percent / 100) ** (1 / self.annualise) - 1 if self.risk_free_percent else 0.0
        )
