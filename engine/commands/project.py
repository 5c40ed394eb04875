"""`engine project DAY...`: makes the rows of a store again from the journal, or compares them with it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from engine.commands.output import check_outputs, config_option, json_option, print_json, progress
from engine.commands.stores import named_store
from engine.errors import UsageError
from engine.journal import belongs, read_identity
from engine.records import day_folders
from engine.stores.catchup import Progress, rebuild
from engine.stores.checking import Checkable, Checked, check
from engine.stores.sqlite.reading import first_difference
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Store

__all__ = ["project_command"]


@click.command("project")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--db", type=click.Path(path_type=Path), default=Path("retape.db"), show_default=True)
@click.option("--trades", "with_trades", is_flag=True, help="Also a row for every public trade.")
@click.option("--to", metavar="URL|NAME", help="Another store: its address, or its name in --config.")
@config_option
@click.option("--check", "checks", is_flag=True, help="Compare the store with a rebuild; change nothing.")
@json_option
def project_command(
    days: tuple[Path, ...],
    db: Path,
    with_trades: bool,
    to: str | None,
    config: Path | None,
    checks: bool,
    as_json: bool,
) -> None:
    """Rebuild the rows of DAYS (in order, or of a whole journal) in a SQLite database, or in a store.

    The old rows stay readable until the new ones are complete. Open the result with any SQLite tool,
    Datasette or pandas; `seq` in every row leads back to the journal (`engine why DAY SEQ`).
    """
    if to is not None:
        store, place = named_store(to, config), ""
    else:
        check_outputs(None, db)
        if not db.parent.is_dir():
            raise UsageError(f"{db}: there is no folder {db.parent}; give another path")
        if checks and not db.exists():
            raise UsageError(f"{db}: there is no such database; give the path of one with --db")
        store, place = SqliteStore(db, with_trades=with_trades), str(db)
    place = place or store.place
    folders = _of_one_journal(days)
    began = time.perf_counter()
    with progress("rows") as report:
        if checks:
            _show_check(_checked(store, folders, report), place, as_json=as_json)
            return
        seq = rebuild(store, folders, progress=report)
    seconds = time.perf_counter() - began
    if as_json:
        print_json({"db" if to is None else "store": place, "seq": seq, "seconds": round(seconds, 6)})
    else:
        click.echo(f"{place}: rows of {len(folders)} day(s) up to seq {seq}, in {seconds:.1f} s")


def _checked(store: Store, folders: Sequence[Path], report: Progress) -> Checked:
    if isinstance(store, SqliteStore):
        with tempfile.TemporaryDirectory() as scratch:
            fresh = Path(scratch) / "fresh.db"
            seq = rebuild(SqliteStore(fresh, with_trades=store.with_trades), folders, progress=report)
            return Checked(seq, 0, first_difference(store.path, fresh))
    if not isinstance(store, Checkable):
        raise UsageError(f"{store.place}: a store of kind {store.kind!r} cannot be compared with the journal")
    return check(store, folders, progress=report)


def _show_check(done: Checked, place: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"equal": done.difference is None, "seq": done.seq, "difference": done.difference})
    else:
        click.echo(f"{place}: {done.difference or 'equal to a rebuild, row for row'}")
    if done.difference is not None:
        raise SystemExit(3)


def _of_one_journal(paths: tuple[Path, ...]) -> list[Path]:
    """Return the day folders; of a whole journal only its own days, since its folder may hold others."""
    folders: list[Path] = []
    for path in paths:
        days = day_folders((path,))
        own = read_identity(path)
        kept = [day for day in days if own is None or day == path or belongs(day, own)]
        if len(kept) < len(days):
            others = ", ".join(day.name for day in days if day not in kept)
            click.echo(f"engine: {path}: left out {others}, of another journal", err=True)
        folders += kept
    return folders
