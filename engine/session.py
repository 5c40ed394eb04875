"""Builds a session: its actors, their order, their signatures, and the event that opens it.

Used by live, replay and backtest alike: everything it needs is in the `SessionStarted` event. The order of
actors follows the data: bars and fills first, then books, then the order manager, then strategies, then
execution.

In mode "live" orders are real: there is no simulated venue, and books, order manager and execution know the
account. The signature of their state, and of the strategies' state, names the account, so a live session
never takes over the state of a paper session.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from engine.actors import (
    ActivityBars,
    Actor,
    Aggregator,
    Books,
    Execution,
    OrderManager,
    SimulatedVenue,
)
from engine.actors.base import REMEMBERED_ON_PAPER
from engine.actors.flow import flow_actors
from engine.config import Config, StrategyConfig, parse_config
from engine.errors import ConfigError, UsageError
from engine.events import SessionStarted
from engine.events.codec import schema_fingerprint
from engine.snapshot import classes_of
from engine.states import StateCheck
from engine.strategies.actor import StrategyActor
from engine.strategies.base import PerMarket, Strategy
from engine.strategies.needs import Need, check_built, needs_of
from engine.strategies.params import convert_params, params_of
from engine.strategies.places import place_of

__all__ = ["PYTHON", "HashOf", "Load", "SessionBuilder", "source_hash"]

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The running version of Python: libraries of another version may compute other numbers."""

Load = Callable[[str], type[Strategy]]
"""Returns the strategy class named module:Class. Raises UsageError."""

HashOf = Callable[[type[Strategy]], str]
"""Returns a hash, 16 hex digits, of all source files of a strategy."""


def source_hash(cls: type) -> str:
    """Return a hash, 16 hex digits, of the source of the module of a class; "" if it has no source."""
    module = inspect.getmodule(cls)
    try:
        source = inspect.getsource(module) if module is not None else ""
    except OSError:
        return ""
    return hashlib.blake2b(source.encode(), digest_size=8).hexdigest()


class Absent(Strategy):
    """Stands for a strategy of an earlier session that cannot be built any more. It does nothing."""


class SessionBuilder:
    """Builds the actors of a session from its `SessionStarted`; loads and hashes each strategy class once.

    With `continues` it builds earlier sessions too whose strategies have since been renamed or removed, or
    refuse their recorded parameters: `Absent` stands for each, and its state is not kept.
    """

    def __init__(
        self, load: Load, code: str, version: str, hash_of: HashOf = source_hash, *, continues: bool = False
    ) -> None:
        self._load = load
        self._continues = continues
        self._hash_of = hash_of
        self._code = code
        self._version = version
        self._classes: dict[str, type[Strategy]] = {}
        self._hashes: dict[str, str] = {}

    def __call__(self, started: SessionStarted) -> Sequence[Actor]:
        """Return the session's actors in the order they are called."""
        config = parse_config(started.config)
        hashes = {name: source for name, _, source in started.strategies}
        # A backfill keeps every actor's state, so it builds the actors of the newest session's mode.
        mode = config.mode if started.mode == "backfill" else started.mode
        venue = config.venue if mode == "live" else None
        simulated = None if config.simulated is msgspec.UNSET else config.simulated
        windows = {name: (sees_ns, begin_ns, end_ns) for name, sees_ns, begin_ns, end_ns in started.windows}
        actors: list[Actor] = []
        if venue is None:
            trading = SimulatedVenue(config.paper, config.account, simulated, config.seed)
            trading.seams = {name: end_ns for name, (_, _, end_ns) in windows.items()}
            actors.append(trading)
        strategies: list[StrategyActor] = []
        for entry in config.strategies:
            recorded = hashes.get(entry.title, "")
            try:
                strategy = self._make(entry, config.seed, len(config.strategies))
                edited = recorded != self._hash(entry.use)
            except UsageError:
                if not self._continues:
                    raise
                strategy = StrategyActor(Absent, entry.title, {}, entry.instruments, config.seed)
                edited = True
            strategy.signature = f"{entry.use} {sorted(entry.params.items())} {recorded}"
            strategy.trades_from_ns = started.begin_ns
            if entry.title in windows:
                window = windows[entry.title]
                strategy.sees_from_ns, strategy.trades_from_ns, strategy.trades_until_ns = window
            if edited:
                strategy.note_edit()
            strategies.append(strategy)
        watches = any(strategy.acts_between_bars() for strategy in strategies)
        actors.append(Books(config, real=venue is not None, watches=watches))
        actors.append(OrderManager(config, real=venue is not None, watches=watches))
        accounts = config.named_accounts if venue is not None else ()
        actors += [*strategies, Execution(venue, config.account, accounts)]
        account = f" {venue.network} {(venue.vault or venue.account).lower()}" if venue else ""
        account += "" if venue is None else _accounts_of(config)
        for actor in actors:
            actor.signature = (actor.signature or type(actor).__name__) + account
            if venue is None:
                actor.remembered = REMEMBERED_ON_PAPER
        aggregator = Aggregator(config.bars)
        aggregator.signature = f"{config.bars.intervals} {config.bars.grace_ms} {config.bars.close}"
        return [aggregator, *_optional(config), *actors]

    def start(
        self,
        *,
        recv_ns: int,
        session: str,
        mode: str,
        config: Config,
        moves: tuple[tuple[str, str], ...] = (),
        epoch: int = 0,
        begin_ns: int = 0,
        end_ns: int = 0,
        windows: tuple[tuple[str, int, int, int], ...] = (),
    ) -> SessionStarted:
        """Return the event that opens a session with this configuration. Raises UsageError."""
        if mode in ("live", "paper"):
            check_built(self.needs(config), config)
            if config.simulated is not msgspec.UNSET and config.simulated.wants_recorded():
                raise ConfigError("simulated: `recorded` is for backtests; give a number or a distribution")
        strategies = tuple((entry.title, entry.use, self._hash(entry.use)) for entry in config.strategies)
        for entry in config.strategies:
            # A strategy that cannot start or be stored is refused before anything is written.
            strategy = self._make(entry, config.seed, len(config.strategies))
            check = StateCheck(classes_of(strategy))
            strategy.refuse(check.find_exactly(strategy.attributes(), entry.title))
        return SessionStarted(
            recv_ns,
            session,
            mode,
            self._version,
            schema_fingerprint(),
            self._code,
            strategies,
            config.canonical(),
            PYTHON,
            moves,
            epoch,
            begin_ns,
            end_ns,
            windows,
        )

    def needs(self, config: Config) -> list[Need]:
        """Return the bars and markets that the strategies say they need. Raises UsageError."""
        return [
            need
            for entry in config.strategies
            for need in needs_of(
                self._class(entry.use),
                entry.title,
                self._params(entry),
                entry.instruments or config.instruments,
            )
        ]

    def strategy_hashes(self, started: SessionStarted) -> tuple[tuple[str, str, str], ...]:
        """Return (name, module:Class, hash of the current sources) of a session's strategies."""
        return tuple((name, use, self._hash(use)) for name, use, _ in started.strategies)

    @property
    def code(self) -> str:
        """The fingerprint of the current sources of the engine's deterministic packages."""
        return self._code

    def defaults(self, use: str) -> dict[str, Any]:
        """Return the default of each parameter of a strategy. Raises UsageError, ConfigError."""
        return {name: one.default for name, one in params_of(self._class(use)).items()}

    def _class(self, use: str) -> type[Strategy]:
        found = self._classes.get(use)
        if found is None:
            found = self._classes[use] = self._load(use)
        return found

    def _hash(self, use: str) -> str:
        found = self._hashes.get(use)
        if found is None:
            found = self._hashes[use] = self._hash_of(self._class(use))
        return found

    def _params(self, entry: StrategyConfig) -> dict[str, Any]:
        """Return a strategy's parameters, converted. Raises ConfigError."""
        try:
            return convert_params(self._class(entry.use), entry.params)
        except ConfigError as error:
            raise ConfigError(f"strategy {entry.use}: {error}") from None

    def _make(self, entry: StrategyConfig, seed: int, strategies: int) -> StrategyActor:
        """Return a started strategy. Raises ConfigError for invalid parameters and for its exceptions."""
        cls, params = self._class(entry.use), self._params(entry)
        try:
            strategy = StrategyActor(cls, entry.title, params, entry.instruments, seed)
        except (Exception, SystemExit) as error:
            words = f"{type(error).__name__}: {error}{place_of(error, cls)}"
            raise ConfigError(f"strategy {entry.use}: cannot begin: {words}") from None
        strategy.policy = entry.on_failure
        strategy.check = StateCheck(classes_of(strategy), strategies, frozenset({PerMarket}))
        return strategy


def _accounts_of(config: Config) -> str:
    """Return the accounts of the sections `[venues.NAME]`: the state of one is not that of another."""
    sections = {} if config.venues is msgspec.UNSET else config.venues
    named = sorted((name, one) for name, one in sections.items() if one.get("account"))
    several = " by venue" if config.named_accounts else ""
    texts = [f" {name} {one.get('network', 'sandbox')} {one['account']}" for name, one in named]
    return several + "".join(texts)


def _optional(config: Config) -> list[Actor]:
    """Return the actors of features that are off by default; while they are off they cost nothing."""
    actors = flow_actors(config.flow)
    kinds = config.bars.kinds()
    if kinds:
        activity = ActivityBars(kinds)
        activity.signature = f"{config.bars.activity}"
        actors.insert(0, activity)
    return actors
