"""`make docs`: writes the tables that are generated from the code."""

from __future__ import annotations

from pathlib import Path

from adapters.hyperliquid.rules import PERP, SPOT
from engine.analysis.formulas import FORMULAS
from engine.api.problems import CODES
from engine.commands.venues import HEADS, row_of
from engine.config import Config, as_markdown, keys
from engine.events import MarketRules
from engine.events.rules import assumed_rules
from engine.loading.venues import VENUES, find_venue

__all__ = [
    "API",
    "BACKTESTS",
    "CONFIGURATION",
    "README",
    "STRATEGIES",
    "api_page",
    "backtests_page",
    "configuration_page",
    "readme_page",
    "strategies_page",
]

DOCS = Path(__file__).resolve().parents[1] / "docs"
API = DOCS / "api.md"
BACKTESTS = DOCS / "backtesting.md"
CONFIGURATION = DOCS / "configuration.md"
STRATEGIES = DOCS / "strategies.md"
README = DOCS.parent / "README.md"

_MARK = "<!-- The table is written by `make docs`. -->\n"
_BEGIN = "<!-- The tables are written by `make docs`. -->\n"
_END = "<!-- End of the tables. -->\n"


def configuration_page() -> str:
    """Return the page on the configuration with an up-to-date table."""
    head, mark, _ = CONFIGURATION.read_text(encoding="utf-8").partition(_MARK)
    return f"{head}{mark}\n{as_markdown(keys())}"


def strategies_page() -> str:
    """Return the page on strategies with up-to-date tables: paper and live, and the venues' rules."""
    head, begin, rest = STRATEGIES.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    return f"{head}{begin}\n{_paper_and_live()}\n{_venue_rules()}\n{end}{tail}"


def readme_page() -> str:
    """Return the README with an up-to-date table of venues."""
    head, begin, rest = README.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    rows = [row_of(find_venue(name)).cells() for name in VENUES]
    return f"{head}{begin}\n{_table(HEADS, *((f'`{name}`', *cells) for name, *cells in rows))}\n{end}{tail}"


def api_page() -> str:
    """Return the page on the API with an up-to-date table of codes."""
    head, begin, rest = API.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    codes: dict[int, list[str]] = {}
    for code, status in sorted(CODES.items()):
        codes.setdefault(status, []).append(f"`{code}`")
    rows = [(str(status), ", ".join(names)) for status, names in sorted(codes.items())]
    return f"{head}{begin}\n{_table(('status', 'codes'), *rows)}\n{end}{tail}"


def backtests_page() -> str:
    """Return the page on backtests with an up-to-date table of metrics."""
    head, begin, rest = BACKTESTS.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    rows = [
        (f"`{name}`", one.title, one.unit, f"`{one.formula}`", {1: "more", -1: "less", 0: ""}[one.better])
        for name, one in FORMULAS.items()
    ]
    return f"{head}{begin}\n{_table(('name', 'metric', 'unit', 'formula', 'better'), *rows)}\n{end}{tail}"


def _table(*rows: tuple[str, ...]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]) + "\n"


def _paper_and_live() -> str:
    """Return what differs between paper and real orders, with the defaults of the configuration."""
    config = Config()
    paper, risk, venue, account = config.paper, config.risk, config.venue, config.account
    trigger = {PERP.trigger_price: "perps", assumed_rules("perp").trigger_price: "data without rules"}
    triggers = ", ".join(f"the {price} price ({kind})" for price, kind in trigger.items())
    worse = f"made worse by `[paper] slippage_bps` ({paper.slippage_bps})"
    liquidated = f"made worse by `[paper] liquidation_bps` ({paper.liquidation_bps})"
    opens = f"`[venue] slippage_bps` ({venue.slippage_bps})"
    closes, protects = f"`[risk] exit_bps` ({risk.exit_bps})", f"`[risk] protect_bps` ({risk.protect_bps})"
    return _table(
        ("", "paper and backtest", "real orders"),
        (
            "rules of the market",
            "those below, of the venue's adapter; data that states none has the assumed ones",
            "the venue's, which are the same",
        ),
        ("an order arrives", f"`[paper] latency_ms` ({paper.latency_ms}) later", "when it arrives"),
        (
            "an order at market",
            f"takes what the book has; without a book what the quote has, else the last price, {worse}",
            "takes what the book has",
        ),
        (
            "its bound",
            f"beyond the best price by {opens} to open, {closes} to close, {protects} to protect",
            "the same",
        ),
        (
            "a resting order",
            "fills by trades through its price (at its price with `[paper] fill_on_touch`), up to their size",
            "fills when its turn in the queue comes",
        ),
        (
            "a stop is triggered by",
            f"{triggers}; on candles by their path",
            f"the {PERP.trigger_price} price",
        ),
        (
            "fees",
            "the market's rates of the value, or `[paper] taker_fee` and `maker_fee`",
            "what the venue takes, in its asset",
        ),
        (
            "funding",
            "where the data has rates; otherwise the summary says that it was left out",
            "what the venue pays or takes",
        ),
        (
            "liquidation",
            f"by the rules below; without book and quote at the mark, {liquidated}",
            "by the venue; it halts the market",
        ),
        ("the account begins with", f"`[account] cash` ({account.cash})", "its equity at the venue"),
        ("lost answers, fills by others", "there are none", "the venue is asked; `fill.external`"),
    )


def _venue_rules() -> str:
    """Return the rules of markets, as the order manager, the simulated venue and the sandbox read them."""
    markets = (PERP, SPOT, assumed_rules("perp"), assumed_rules("spot"))
    quote = f" {PERP.quote}"
    rows: list[tuple[str, ...]] = [
        ("rule", "Hyperliquid perp", "Hyperliquid spot", "assumed: perp", "assumed: spot, stock")
    ]
    for name, show in (
        ("positions", lambda r: "long and short, on margin" if r.on_margin else "what is held can be sold"),
        ("least value of an order", lambda r: _least(r, quote)),
        ("times in force", lambda r: ", ".join(r.tifs)),
        (
            "stops",
            lambda r: f"at the venue, by the {r.trigger_price} price" if r.triggers else "in the engine",
        ),
        ("reduce-only flag", lambda r: _yes(r.reduce_only)),
        ("orders attached to another", lambda r: _yes(r.attached)),
        (
            "leverage, unless chosen",
            lambda r: f"{r.leverage}, or the market's highest" if r.on_margin else "none",
        ),
        ("furthest limit from the mark", lambda r: f"{r.far_percent} %" if r.far_percent else "none"),
        ("taker and maker fee", lambda r: f"{r.taker_fee}, {r.maker_fee} of the value"),
        ("fee is taken in", lambda r: "quote currency" if r.fee_in == "quote" else "the asset received"),
        ("funding", lambda r: f"every {r.funding_s // 60} min, {r.funding_price}" if r.funding_s else "none"),
        (
            "requests per minute",
            lambda r: f"{r.requests_per_minute}" if r.requests_per_minute else "no bound",
        ),
    ):
        rows.append((name, *(show(rules) for rules in markets)))
    return _table(*rows)


def _least(rules: MarketRules, quote: str) -> str:
    if rules.value_min == "0":
        return "none"
    exempt = "; less if it only closes" if rules.value_min_exempts_close else ""
    return f"{rules.value_min}{quote}{exempt}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


if __name__ == "__main__":
    for path, page in (
        (CONFIGURATION, configuration_page()),
        (STRATEGIES, strategies_page()),
        (README, readme_page()),
        (API, api_page()),
        (BACKTESTS, backtests_page()),
    ):
        path.write_text(page, encoding="utf-8")
        print(f"written: {path.name}")
