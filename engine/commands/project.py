"""`engine project DAY...`: rebuilds the SQLite database from the journal."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from engine.commands.output import check_outputs, json_option, print_json, progress
from engine.errors import UsageError
from engine.journal import belongs, read_identity
from engine.records import day_folders
from engine.stores.catchup import rebuild
from engine.stores.sqlite.reading import first_difference
from engine.stores.sqlite.store import SqliteStore

__all__ = ["project_command"]


@click.command("project")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--db", type=click.Path(path_type=Path), default=Path("retape.db"), show_default=True)
@click.option("--trades", "with_trades", is_flag=True, help="Also a row for every public trade.")
@click.option("--check", is_flag=True, help="Compare the database with a rebuild; change nothing.")
@json_option
def project_command(days: tuple[Path, ...], db: Path, with_trades: bool, check: bool, as_json: bool) -> None:
    """Rebuild the rows of DAYS (in order, or of a whole journal) in a SQLite database.

    The old rows stay readable until the new ones are complete. Open the result with any SQLite tool,
    Datasette or pandas; `seq` in every row leads back to the journal (`engine why DAY SEQ`).
    """
    check_outputs(None, db)
    if not db.parent.is_dir():
        raise UsageError(f"{db}: there is no folder {db.parent}; give another path")
    if check and not db.exists():
        raise UsageError(f"{db}: there is no such database; give the path of one with --db")
    folders = _of_one_journal(days)
    began = time.perf_counter()
    with progress("rows") as report:
        if check:
            with tempfile.TemporaryDirectory() as scratch:
                fresh = Path(scratch) / "fresh.db"
                seq = rebuild(SqliteStore(fresh, with_trades=with_trades), folders, progress=report)
                difference = first_difference(db, fresh)
            if as_json:
                print_json({"equal": difference is None, "seq": seq, "difference": difference})
            else:
                click.echo(f"{db}: {'equal to a rebuild, row for row' if difference is None else difference}")
            if difference is not None:
                raise SystemExit(3)
            return
        seq = rebuild(SqliteStore(db, with_trades=with_trades), folders, progress=report)
    seconds = time.perf_counter() - began
    if as_json:
        print_json({"db": str(db), "seq": seq, "seconds": round(seconds, 6)})
    else:
        click.echo(f"{db}: rows of {len(folders)} day(s) up to seq {seq}, in {seconds:.1f} s")


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
