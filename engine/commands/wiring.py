"""Puts the parts together: strategies by name, the session builder, journals by path, the projection.

The only place that imports strategy modules and reads the engine's own sources. Called by the commands.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path

import click
import msgspec

import engine.strategies
from engine.config import Config, StrategyConfig, load_config, nearest
from engine.errors import ConfigError, NotDeterministic, UsageError
from engine.guard import arm, read_project, refuse, set_traps
from engine.journal import list_days, list_segments, read_headers
from engine.projections import (
    CsvBars,
    ProjectionOutOfStep,
    ProjectionUnavailable,
    SqliteProjection,
    catch_up,
    rebuild,
)
from engine.roster import opening_instruments
from engine.runtime.projector import Projector
from engine.runtime.records import open_day
from engine.session import SessionBuilder, source_hash
from engine.strategies.base import Strategy
from engine.strategies.params import convert_params, params_of

__all__ = [
    "belongs",
    "code_fingerprint",
    "day_folders",
    "load_strategy",
    "make_builder",
    "make_csv_projector",
    "make_projector",
    "project_hash",
    "read_config",
    "version",
]

_DETERMINISTIC = (
    "actors",
    "events",
    "indicators",
    "strategies/base.py",
    "strategies/chance.py",
    "strategies/flow_views.py",
    "strategies/params.py",
    "strategies/verbs.py",
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

    Raises UsageError with the nearest names, NotDeterministic for one that uses what differs from run to run
    (see `engine.guard`): it is then not imported at all.
    """
    module_name, colon, class_name = use.partition(":")
    if not colon or not module_name or not class_name:
        name = Path(use).stem
        example = (
            f"{name}:{name.title()}"
            if Path(f"{name}.py").is_file()
            else "engine.strategies.crossover:Crossover"
        )
        raise UsageError(f"{use!r} is not module:Class; write it as {example}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    project = read_project(module_name)
    refuse(project.findings())
    arm(project.files)
    try:
        found = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        found = None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    if found is None:
        known = [*sorted(path.stem for path in Path.cwd().glob("*.py")), "engine.strategies.crossover"]
        raise UsageError(
            f"there is no module {module_name!r} in {Path.cwd()} or installed; {nearest(module_name, known)}"
        )
    try:
        module = importlib.import_module(module_name)
    except NotDeterministic:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    set_traps(project.sources, project.libraries)
    candidates = [
        name
        for name, member in vars(module).items()
        if isinstance(member, type) and issubclass(member, Strategy) and member is not Strategy
    ]
    chosen = vars(module).get(class_name)
    if not isinstance(chosen, type) or not issubclass(chosen, Strategy) or chosen is Strategy:
        there = nearest(class_name, candidates) if candidates else "it has none: no class of it is a Strategy"
        raise UsageError(f"{module_name} has no strategy {class_name!r}; {there}")
    return chosen


def _warn_of_hooks(cls: type[Strategy]) -> None:
    """Tell of a method that is named like a handler and is none: nothing will ever call it."""
    hooks = [name for name in vars(Strategy) if name.startswith("on_")]
    for name in vars(cls):
        if name.startswith("on") and name not in hooks and get_close_matches(name, hooks, 1, 0.8):
            click.echo(
                f"engine: warning: {cls.__name__}.{name} is no handler; {nearest(name, hooks)}", err=True
            )


def make_builder() -> SessionBuilder:
    """Return what makes a session's actors."""
    return SessionBuilder(load_strategy, code_fingerprint(), version(), project_hash)


def project_hash(cls: type[Strategy]) -> str:
    """Return 16 hex digits of a strategy's module and of all modules of its project that it imports."""
    files = read_project(cls.__module__).files
    if not files:
        return source_hash(cls)
    state = hashlib.blake2b(digest_size=8)
    for path, shown in sorted(files.items(), key=lambda item: item[1]):
        state.update(shown.encode() + b"\0" + Path(path).read_bytes() + b"\0")
    return state.hexdigest()


def read_config(
    path: Path | None, strategies: tuple[str, ...], coins: str | None, params: tuple[str, ...] = ()
) -> Config:
    """Return the configuration of a file (or the defaults) with the options of the command line on top.

    Raises UsageError for what cannot be: a strategy that is not there, or a parameter that it has not.
    """
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
    classes = {entry.use: load_strategy(entry.use) for entry in config.strategies}
    for cls in classes.values():
        _warn_of_hooks(cls)
    return _set_params(config, classes, params)


def _strategy(config: Config, use: str) -> StrategyConfig:
    """Return the file's entry for a strategy given with --strategy, or a plain one."""
    return next((entry for entry in config.strategies if entry.use == use), StrategyConfig(use=use))


def _set_params(config: Config, classes: dict[str, type[Strategy]], params: tuple[str, ...]) -> Config:
    """Return the configuration with `name=value` set for every strategy that has such a parameter.

    `strategy.name=value` sets it for one strategy, by its name in the session.
    """
    entries = list(config.strategies)
    for text in params:
        key, equals, value = text.partition("=")
        title, _, name = key.rpartition(".")
        if not equals or not name:
            raise UsageError(f"--param {text!r}: write it as --param fast=5, or --param Crossover.fast=5")
        known = [params_of(classes[entry.use]) for entry in entries]
        chosen = [
            number
            for number, entry in enumerate(entries)
            if (entry.title == title if title else name in known[number])
        ]
        if title and not chosen:
            near = nearest(title, [entry.title for entry in entries])
            raise UsageError(f"--param {key}: there is no strategy {title!r}; {near}")
        if not chosen:
            names = sorted({one for each in known for one in each})
            near = (
                nearest(name, names) if names else "a parameter is annotated and has a default: fast: int = 5"
            )
            raise UsageError(f"--param {key}: no strategy has a parameter {name!r}; {near}")
        for number in chosen:
            entry = entries[number]
            try:
                value_ = convert_params(classes[entry.use], {name: value}, as_text=True)
            except ConfigError as error:
                raise UsageError(f"--param {key}: {error}") from None
            entries[number] = msgspec.structs.replace(entry, params={**entry.params, **value_})
    return msgspec.structs.replace(config, strategies=tuple(entries))


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
        own = [day.path for day in list_days(root) if belongs(day.path, journal_id)]
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


def make_csv_projector(root: Path, folder: Path, journal_id: bytes, durable_seq: int) -> Projector:
    """Return the projector of the journal in `root` into CSV files. Raises ProjectionError."""
    files = CsvBars(folder, journal_id=journal_id, instruments_of=opening_instruments)

    def catch_up_from_journal(until_seq: int) -> int:
        """Read on in the day that the files have come to: the instruments are in it."""
        own = [day.path for day in list_days(root) if belongs(day.path, journal_id)]
        begun = [path for path in own if read_headers(path)[0].first_seq <= max(files.seq, 1)]
        frames = (frame for path in own[max(0, len(begun) - 1) :] for frame in open_day(path))
        return files.catch_up(frames, until_seq)

    return Projector(files, catch_up_from_journal, durable_seq)


def belongs(folder: Path, journal_id: bytes) -> bool:
    """Return whether a day is of the journal with this id."""
    headers = read_headers(folder)
    return bool(headers) and headers[0].journal_id == journal_id
