"""The configuration of a session: instruments, strategies, bars, limits, stores, venue.

A file is TOML; every key has a default (`sections.py`). The configuration is recorded in
`SessionStarted` as canonical JSON, so that a replay needs no file; only
`[[stores]]`, `[report]` and `[mirror]` are not.

    instruments = ["BTC", "ETH"]    # default: all that the embedded sandbox lists
    [[strategies]]
    use = "engine.strategies.crossover:Crossover"
    params = { fast = 10, slow = 20 }
    [bars]
    intervals = ["1m", "5m"]
    [risk]
    max_order_notional = "20000"
    [[stores]]                      # stores of rows; default: SQLite in the journal's folder
    kind = "csv"
    path = "bars"
"""

from engine.config.checks import nearest
from engine.config.keys import Key, as_markdown, keys
from engine.config.loading import load_config, parse_config, read_section
from engine.config.secrets import refuse_keys
from engine.config.sections import (
    CHANNELS,
    EXIT_EXPIRES_MS,
    FEE_SCALE,
    MONEY_TEXT_SCALE,
    PRICE_TEXT_SCALE,
    AccountConfig,
    ActivityKind,
    BarsConfig,
    Config,
    DataConfig,
    FlowConfig,
    PaperConfig,
    ReportConfig,
    RiskConfig,
    StrategyConfig,
    VenueConfig,
)
from engine.config.simulated import SimulatedConfig

__all__ = [
    "CHANNELS",
    "EXIT_EXPIRES_MS",
    "FEE_SCALE",
    "MONEY_TEXT_SCALE",
    "PRICE_TEXT_SCALE",
    "AccountConfig",
    "ActivityKind",
    "BarsConfig",
    "Config",
    "DataConfig",
    "FlowConfig",
    "Key",
    "PaperConfig",
    "ReportConfig",
    "RiskConfig",
    "SimulatedConfig",
    "StrategyConfig",
    "VenueConfig",
    "as_markdown",
    "keys",
    "load_config",
    "nearest",
    "parse_config",
    "read_section",
    "refuse_keys",
]
