"""Which package may import which: the floors of the architecture, as data.

A package imports only what its row allows; the packages of venues share one rule (`floor_of`).
`tests/test_house.py` checks every import against this table, and `engine.loading.fingerprint` takes from
it the sources that decide results.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["EDGE_FLOOR", "FLOORS", "PACKAGES", "Floor", "deterministic_packages", "floor_of"]


class Floor(NamedTuple):
    """One row of the table. `may` and `libraries` are dotted prefixes: our packages and third-party ones."""

    number: int
    packages: tuple[str, ...]
    may: tuple[str, ...]
    libraries: tuple[str, ...]


def _names(text: str, before: str = "") -> tuple[str, ...]:
    return tuple(before + name for name in text.split())


_TYPES = _names(
    "values errors ports clock backoff config floors events operator states opening instruments", "engine."
)
_JOURNAL = _names("journal records", "engine.")
_ACTORS = _names("actors indicators strategies", "engine.")
_ORDER = _names("sequencer timers passing registry moving beginnings snapshot session testing", "engine.")
_EDGES = (*_names("runtime stores views analysis", "engine."), "adapters")
_LOADING = _names("guard loading", "engine.")
_BELOW_EDGES = (*_TYPES, *_JOURNAL, *_ACTORS, *_ORDER)
_VENUE = ("engine.venue",)
_PLUGINS = ("engine.plugins",)
_OPERATOR = _names("views operator", "engine.")
_COMMANDS = _names("cli commands stopping __main__", "engine.")

# What adapters may use of floor 2: the sandbox the simulated venue, the file importer builds bars.
_MATCHING = _names("actors.simulated", "engine.")
_BARS = _names("actors.bars actors.aggregator", "engine.")

_PURE = ("msgspec",)
_NETWORK = _names("trio httpx trio_websocket zstandard msgspec")
_SIGNING = _names("eth_account eth_utils keyring cryptography")
_SERVER = _names("starlette hypercorn")
_ADAPTER_LIBRARIES = (*_NETWORK, *_SIGNING, *_SERVER, "pyarrow")
_COMMAND_LIBRARIES = (*_ADAPTER_LIBRARIES, "click", "rich", "sqlite_utils")

PACKAGES: Final = ("engine", "adapters", "replay")
"""The top-level packages. A folder or file of the user's with one of these names is never imported."""

EDGE_FLOOR: Final = 4
"""Below this floor nothing reads a clock, draws random numbers or starts a thread."""

FLOORS: Final = (
    # numpy is imported only to restore a value that a strategy made with it.
    Floor(0, ("engine.states",), _TYPES, (*_PURE, "numpy")),
    Floor(0, _TYPES, _TYPES, _PURE),
    Floor(1, ("engine.journal",), (*_TYPES, "engine.journal"), (*_PURE, "zstandard")),
    Floor(1, ("engine.records",), (*_TYPES, *_JOURNAL), _PURE),
    # The port to venues: only for the edges.
    Floor(1, _VENUE, _TYPES, _PURE),
    Floor(1, _PLUGINS, _TYPES, _PURE),
    # Within floor 2 too the imports go one way: indicators, then actors, then strategies.
    Floor(2, ("engine.indicators",), (*_TYPES, "engine.indicators"), _PURE),
    Floor(2, ("engine.actors",), (*_TYPES, "engine.indicators", "engine.actors"), _PURE),
    # numpy only gives an author the values of bars as an array; it is imported when one asks for it.
    Floor(2, ("engine.strategies",), (*_TYPES, *_ACTORS), (*_PURE, "numpy")),
    Floor(3, _ORDER, (*_TYPES, *_ACTORS, *_ORDER), _PURE),
    Floor(4, ("engine.runtime",), (*_BELOW_EDGES, *_VENUE, "engine.runtime"), (*_PURE, "trio")),
    Floor(4, ("engine.api.page",), (), _PURE),
    # Results of records and numbers. No I/O.
    Floor(4, ("engine.analysis",), (*_TYPES, "engine.views", "engine.analysis"), _PURE),
    # Results as HTML files. No I/O but reading the parts of a page, the chart library among them.
    Floor(
        4,
        ("engine.pages",),
        (*_TYPES, "engine.analysis", "engine.api.page", "engine.pages"),
        _PURE,
    ),
    # The rows share the sums of round trips with the reports.
    Floor(
        4,
        ("engine.stores",),
        (*_TYPES, *_JOURNAL, *_PLUGINS, "engine.analysis.trips", "engine.stores"),
        (*_PURE, "sqlite_utils", "pyarrow", "psycopg", "redis", "httpx", "duckdb"),
    ),
    # The journal in a message broker: reads frames and writes pulled ones, knows no actor.
    Floor(
        4,
        ("engine.mirror",),
        (*_TYPES, *_JOURNAL, "engine.stores.settings", "engine.mirror"),
        (*_PURE, "nats", "confluent_kafka"),
    ),
    # Projections of records: no I/O but reading days of the journal.
    Floor(4, ("engine.views",), (*_BELOW_EDGES, "engine.views"), _PURE),
    # The operator's interface serves what the views hold; it is connected to a session by the command line.
    Floor(
        4,
        ("engine.api",),
        (*_BELOW_EDGES, *_OPERATOR, "engine.runtime", "engine.api"),
        (*_PURE, "trio", *_SERVER),
    ),
    # The shared transport and the local exchange import no venue. The packages of venues have one rule,
    # which `floor_of` applies. Only the sandbox, which serves Hyperliquid's protocol, imports a venue
    # (decisions 0008 and 0023).
    Floor(4, ("adapters.transport",), (*_TYPES, *_VENUE, "adapters.transport"), (*_NETWORK, "keyring")),
    Floor(
        4,
        ("adapters.exchange",),
        (*_TYPES, *_JOURNAL, *_VENUE, *_MATCHING, "adapters.exchange"),
        (*_NETWORK, *_SERVER),
    ),
    Floor(
        4,
        ("adapters.sandbox",),
        (
            *_TYPES,
            *_JOURNAL,
            *_VENUE,
            *_MATCHING,
            "adapters.exchange",
            "adapters.hyperliquid",
            "adapters.sandbox",
        ),
        (*_NETWORK, *_SIGNING, *_SERVER),
    ),
    Floor(
        4,
        ("adapters.files",),
        (*_TYPES, *_JOURNAL, *_BARS, "adapters.files"),
        (*_PURE, "zstandard", "pyarrow"),
    ),
    Floor(4, _LOADING, (*_TYPES, *_ACTORS, *_ORDER, *_VENUE, *_PLUGINS, *_LOADING), _PURE),
    Floor(5, ("replay",), (*_BELOW_EDGES, *_EDGES, *_VENUE, *_LOADING, "replay"), _PURE),
    # Trials are backtests. dask, optuna and ray are imported by functions that need them, as extras.
    Floor(
        5,
        ("engine.search",),
        (*_BELOW_EDGES, *_EDGES, *_VENUE, *_LOADING, "engine.pages", "replay", "engine.search"),
        (*_PURE, "distributed", "optuna", "ray"),
    ),
    # Results for programs. pandas and polars are imported by the methods that make their frames.
    Floor(
        5,
        ("engine.research",),
        (*_BELOW_EDGES, *_EDGES, "replay", "engine.research"),
        (*_PURE, "pandas", "polars"),
    ),
    Floor(6, _COMMANDS, ("engine", "adapters", "replay"), _COMMAND_LIBRARIES),
)


def floor_of(module: str) -> Floor | None:
    """Return the row of a module, None if it has no floor.

    An adapter without a row of its own is the package of a venue: it may import the types, the port to
    venues, the shared transport and local exchange, and itself. What plays its exchange,
    `adapters.NAME.sandbox`, may also use the simulated venue's matching.
    """
    for floor in FLOORS:
        if any(module == name or module.startswith(name + ".") for name in floor.packages):
            return floor
    top, _, rest = module.partition(".")
    if top != "adapters":
        return None
    if not rest:
        return Floor(4, ("adapters",), _TYPES, _PURE)
    name, _, inner = rest.partition(".")
    package = f"adapters.{name}"
    may = (*_TYPES, *_VENUE, "adapters.transport", "adapters.exchange", package)
    if inner == "sandbox" or inner.startswith("sandbox."):
        may += _MATCHING
    return Floor(4, (package,), may, (*_NETWORK, *_SIGNING))


def deterministic_packages() -> list[str]:
    """Return the packages whose sources decide what a journal's inputs lead to, sorted.

    All packages below the edges except the journal, which only moves bytes.
    """
    floors = [floor for floor in FLOORS if floor.number < EDGE_FLOOR and floor.number != 1]
    return sorted({name for floor in floors for name in floor.packages})
