"""`engine journal verify|seal`: checks and compresses recorded days."""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands.output import json_option, print_json, progress
from engine.errors import UsageError
from engine.journal import (
    DayReport,
    JournalLock,
    list_days,
    list_segments,
    seal_day,
    verify_day,
    verify_journal,
)
from engine.records import check_frame

__all__ = ["journal_command"]


@click.group("journal")
def journal_command() -> None:
    """Check and compress recorded days."""


@journal_command.command("verify")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def verify_command(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check every byte of days or of whole journals: CRCs, digest chain, seqs, counts, order of segments.

    Of a journal, also that each day continues the day before it. Prints the file and the offset of the
    first damaged byte, or the first day that does not continue; the exit code is then 4.
    """

    def show(report: DayReport) -> None:
        _show(report, as_json=as_json)

    for path in paths:
        folders = _days((path,))
        with progress(f"verifying {path.name}") as advance:
            if folders == [path]:
                show(verify_day(path, progress=lambda done, _: advance(done), content=check_frame))
                continue
            journal = verify_journal(
                path, progress=lambda done, _: advance(done), content=check_frame, report=show
            )
        first = journal.days[0] if journal.days else None
        if first is not None and first.first_seq > 1 and not as_json:
            click.echo(
                f"{path}: begins with seq {first.first_seq} of {Path(first.folder).name}; "
                "the days before it are not here and were not checked"
            )


@journal_command.command("seal")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--newest", is_flag=True, help="Also the newest day. Only if no session writes to it again.")
@json_option
def seal_command(paths: tuple[Path, ...], newest: bool, as_json: bool) -> None:
    """Compress days with zstd. Records and digest stay the same."""
    for folder in _days(paths):
        with JournalLock(folder.resolve().parent):
            report = seal_day(folder, newest=newest)
        if as_json:
            print_json(
                {
                    "day": folder.name,
                    "segments": report.segments,
                    "raw_bytes": report.raw_bytes,
                    "sealed_bytes": report.sealed_bytes,
                }
            )
        elif report.segments:
            share = report.sealed_bytes / report.raw_bytes
            click.echo(
                f"{folder}: sealed {report.segments} segment(s), {report.sealed_bytes:,} bytes ({share:.0%})"
            )
        else:
            click.echo(f"{folder}: was sealed already")


def _days(paths: tuple[Path, ...]) -> list[Path]:
    """Return the day folders that paths name. Raises UsageError for a path without any."""
    folders: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path}: there is no such folder")
        found = [path] if list_segments(path) else [day.path for day in list_days(path)]
        if not found:
            raise UsageError(f"{path}: holds no journal day")
        folders += found
    return folders


def _show(report: DayReport, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(report))
        return
    torn = f", then {report.torn.size} bytes of a torn frame" if report.torn is not None else ""
    click.echo(
        f"{report.folder}: {report.records:,} records in {report.frames:,} frames, "
        f"seq {report.first_seq} to {report.end_seq}{torn}\n  digest {report.digest.hex()}"
    )


def _as_json(report: DayReport) -> dict[str, object]:
    return {
        "day": Path(report.folder).name,
        "first_seq": report.first_seq,
        "end_seq": report.end_seq,
        "frames": report.frames,
        "records": report.records,
        "digest": report.digest.hex(),
        "torn_bytes": report.torn.size if report.torn is not None else 0,
    }
