"""`engine replay DAY`: verifies that a recorded day re-derives bit for bit, or shows the first difference."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from engine.commands.configuration import read_config
from engine.commands.output import json_option, param_option, print_json, progress, table
from engine.errors import UsageError
from engine.events import DayOpened, InstrumentListed
from engine.events.codec import Record
from engine.events.render import Renderer
from engine.records import read_records
from replay.runs import one_day, verify
from replay.verification import ReplayReport

__all__ = ["replay_command", "report_of"]


@click.command("replay")
@click.argument("day", type=click.Path(path_type=Path))
@click.option(
    "--until", "until_seq", type=click.IntRange(1), metavar="SEQ", help="Stop after the frame that holds SEQ."
)
@click.option("--config", type=click.Path(path_type=Path), help="Replay under this configuration instead.")
@click.option(
    "--strategy", "strategies", multiple=True, metavar="M:C", help="Replay with this strategy instead."
)
@param_option
@click.option(
    "--from-raw",
    "from_raw",
    is_flag=True,
    help="Decode the raw frames of DAY (`engine live --raw`) again instead, and compare with its inputs.",
)
@json_option
def replay_command(
    day: Path,
    until_seq: int | None,
    config: Path | None,
    strategies: tuple[str, ...],
    params: tuple[str, ...],
    from_raw: bool,
    as_json: bool,
) -> None:
    """Re-derive DAY from its recorded inputs and compare every event with the record.

    Prints "identical" and the digest, or the first event that differs: as recorded, as derived now, and its
    chain of causes. Exit code 0 identical, 3 diverged, 4 damaged or recorded with a state that this version
    cannot read.
    """
    if from_raw:
        if until_seq is not None or config is not None or strategies or params:
            raise UsageError(
                "--from-raw compares received messages; it takes no --until, --config, --strategy, --param"
            )
        # Imported here: nothing else of a replay needs a venue.
        from engine.commands.redecoding import compare_raw

        compare_raw(one_day(day), as_json=as_json)
        return
    if params and config is None and not strategies:
        raise UsageError("--param needs --strategy or --config; without them the recorded ones are replayed")
    folder = one_day(day)
    other = read_config(config, strategies, None, params) if config or strategies else None
    began = time.perf_counter()
    with progress(f"replaying {folder.name}") as report_progress:
        report = verify(folder, config=other, until_seq=until_seq, progress=report_progress)
    seconds = time.perf_counter() - began
    if as_json:
        print_json(report_of(folder, report, seconds))
    else:
        _print(folder, report, seconds)
    if not report.identical:
        raise SystemExit(3)


def report_of(folder: Path, report: ReplayReport, seconds: float) -> dict[str, Any]:
    """Return the report as `--json` prints it."""
    divergence = None
    if report.divergence is not None:
        found = report.divergence
        renderer = Renderer()
        divergence = {
            "seq": found.seq,
            "verdict": report.verdict,
            "expected": _json(renderer, found.expected),
            "actual": _json(renderer, found.actual),
            "chain": _chain(folder, report),
        }
    return {
        "identical": report.identical,
        "verdict": report.verdict,
        "events": report.events,
        "inputs": report.inputs,
        "derived": report.derived,
        "digest": report.digest,
        "seconds": round(seconds, 6),
        "events_per_s": round(report.events / seconds) if seconds else 0,
        "torn_bytes": report.torn_bytes,
        "changes": report.changes,
        "divergence": divergence,
    }


def _json(renderer: Renderer, record: Record | None) -> dict[str, Any] | None:
    return None if record is None else renderer.as_json(*record)


def _print(folder: Path, report: ReplayReport, seconds: float) -> None:
    if report.torn_bytes:
        click.echo(f"{folder}: the last {report.torn_bytes} bytes are a torn frame and were not verified")
    if report.identical:
        click.echo(f"{folder}: identical")
        speed = f"{report.events / seconds:,.0f}" if seconds else "?"
        table(
            [
                ("events", f"{report.events:,} ({report.inputs:,} inputs, {report.derived:,} derived)"),
                ("digest", report.digest),
                ("time", f"{seconds:.2f} s, {speed} events/s"),
            ]
        )
        for change in report.changes:
            click.echo(f"  changed since: {change}")
        return
    assert report.divergence is not None
    seq = report.divergence.seq
    renderer = Renderer(listed for at, listed in _listings(folder) if at <= seq)
    click.echo(f"{folder}: diverges at seq {seq}: {report.verdict}")
    for name, record in (("recorded", report.divergence.expected), ("now", report.divergence.actual)):
        click.echo(f"  {name:9} {renderer.as_text(*record) if record else '(nothing)'}")
    for change in report.changes:
        click.echo(f"  changed   {change}")
    for link in _chain(folder, report):
        click.echo(f"  because   seq {link.get('seq')} {link.get('type')} at {link.get('at')}")


def _chain(folder: Path, report: ReplayReport) -> list[dict[str, Any]]:
    """Return the causes of the event that differs, oldest first, as `--json` prints them."""
    listings = _listings(folder) if report.chain else []
    return [
        Renderer(listed for at, listed in listings if at <= record[0]).as_json(*record)
        for record in report.chain
    ]


def _listings(folder: Path) -> list[tuple[int, InstrumentListed]]:
    """Return the listings of a day, each with the seq from which it is in force."""
    found: list[tuple[int, InstrumentListed]] = []
    for seq, _, event in read_records(folder):
        if isinstance(event, InstrumentListed):
            found.append((seq, event))
        elif isinstance(event, DayOpened):
            found += [(seq, listed) for listed in event.instruments]
    return found
