"""Puts the parts together: strategies by name, the session builder, journals by path, the projection.

The only place that imports strategy modules and reads the engine's own sources. Called by the commands.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from pathlib import Path

import msgspec

import engine.strategies
from engine.config import Config, StrategyConfig, load_config, nearest
from engine.errors import UsageError
from engine.journal import list_days, list_segments, read_headers
from engine.projections import (
    ProjectionOutOfStep,
    ProjectionUnavailable,
    SqliteProjection,
    catch_up,
    rebuild,
)
from engine.roster import opening_instruments
from engine.runtime.projector import Projector
from engine.runtime.records import open_day
from engine.session import SessionBuilder
from engine.strategies.base import Strategy

__all__ = [
    "code_fingerprint",
    "day_folders",
    "load_strategy",
    "make_builder",
    "make_projector",
    "read_config",
    "version",
]

_DETERMINISTIC = (
    "actors",
    "events",
    "indicators",
    "strategies/base.py",
    "strategies/views.py",
    "values.py",
    "clock.py",
    "config.py",
    "sequencer.py",
    "roster.py",
    "snapshot.py",
    "session.py",
)
"""The rooms that decide what a journal's inputs lead to."""


def version() -> str:
    """Return the installed version of the distribution."""
    return importlib.metadata.version("retape")


@functools.cache
def code_fingerprint() -> str:
    """Return 16 hex digits of the engine's deterministic sources; strategies have hashes of their own."""
    root = Path(engine.strategies.__file__).parent.parent
    state = hashlib.blake2b(digest_size=8)
    for name in _DETERMINISTIC:
        place = root / name
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            state.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


def load_strategy(use: str) -> type[Strategy]:
    """Return the strategy class named module:Class, from the working directory or what is installed.

    Raises UsageError with the nearest names.
    """
    module_name, colon, class_name = use.partition(":")
    if not colon or not module_name or not class_name:
        raise UsageError(f"{use!r} is not module:Class; try engine.strategies.crossover:Crossover")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        found = None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    if found is None:
        known = [f"engine.strategies.{one.name}" for one in pkgutil.iter_modules(engine.strategies.__path__)]
        raise UsageError(f"there is no module {module_name!r}; {nearest(module_name, known)}")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    candidates = [
        name
        for name, member in vars(module).items()
        if isinstance(member, type) and issubclass(member, Strategy) and member is not Strategy
    ]
    chosen = vars(module).get(class_name)
    if not isinstance(chosen, type) or not issubclass(chosen, Strategy):
        raise UsageError(f"{module_name} has no strategy {class_name!r}; {nearest(class_name, candidates)}")
    return chosen


def make_builder() -> SessionBuilder:
    """Return what makes a session's actors."""
    return SessionBuilder(load_strategy, code_fingerprint(), version())


def read_config(path: Path | None, strategies: tuple[str, ...], coins: str | None) -> Config:
    """Return the configuration of a file (or the defaults) with the options of the command line on top."""
    config = load_config(path) if path is not None else Config()
    if strategies:
        config = msgspec.structs.replace(
            config, strategies=tuple(_strategy(config, use) for use in strategies)
        )
    if coins is not None:
        names = tuple(name.strip() for name in coins.split(",") if name.strip())
        if not names:
            raise UsageError("--coins names no coin; write it as --coins BTC,ETH")
        config = msgspec.structs.replace(config, coins=names)
    for strategy in config.strategies:
        load_strategy(strategy.use)
    return config


def _strategy(config: Config, use: str) -> StrategyConfig:
    """Return the file's entry for a strategy given with --strategy, or a plain one."""
    return next((entry for entry in config.strategies if entry.use == use), StrategyConfig(use=use))


def day_folders(paths: tuple[Path, ...]) -> list[Path]:
    """Return the day folders that paths name: days themselves, or journals with days in them.

    Raises UsageError where there is no folder.
    """
    folders: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path}: there is no such day; a day is a folder such as journal/2024-12-05")
        days = [day.path for day in list_days(path)] if not list_segments(path) else []
        folders += days or [path]
    return folders


def make_projector(root: Path, database: Path, journal_id: bytes, durable_seq: int) -> Projector:
    """Return the projector of the journal in `root` into a SQLite file. Raises ProjectionError."""
    projection = SqliteProjection(database, journal_id=journal_id, instruments_of=opening_instruments)

    def catch_up_from_journal(until_seq: int) -> int:
        """Go on from the rows that are there; where they cannot be used any more, make them anew."""
        own = [day.path for day in list_days(root) if _belongs(day.path, journal_id)]
        frames = (frame for folder in own for frame in open_day(folder))
        try:
            return catch_up(projection, frames, until_seq=until_seq)
        except ProjectionOutOfStep:
            pass
        except ProjectionUnavailable as error:
            if error.reason not in ("corrupt", "deleted"):
                raise
        projection.close()
        return rebuild(database, own, instruments_of=opening_instruments)

    return Projector(projection, catch_up_from_journal, durable_seq)


def _belongs(folder: Path, journal_id: bytes) -> bool:
    headers = read_headers(folder)
    return bool(headers) and headers[0].journal_id == journal_id
