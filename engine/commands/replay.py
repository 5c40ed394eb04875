"""`engine replay DAY`: proves that a recorded day re-derives bit for bit, or names what differs first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from engine.commands.configuration import read_config
from engine.commands.output import json_option, param_option, print_json, progress, table
from engine.errors import UsageError
from engine.events import SessionStarted
from engine.events.codec import Record
from engine.events.render import Renderer
from engine.loading.fingerprint import code_fingerprint
from engine.loading.strategies import make_builder
from engine.records import JournalHistory, day_folders, open_day, read_records
from engine.sequencer import Sequencer
from replay.chain import chain_of
from replay.verify import Replayed, replay_day, session_check

__all__ = ["replay_command", "replay_folder", "report_of"]


@click.command("replay")
@click.argument("day", type=click.Path(path_type=Path))
@click.option(
    "--until", "until_seq", type=click.IntRange(1), metavar="SEQ", help="Stop after the frame that holds SEQ."
)
@click.option("--config", type=click.Path(path_type=Path), help="Replay under this configuration instead.")
@click.option("--strategy", "strategies", multiple=True, metavar="M:C", help="... or with this strategy.")
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

    Prints "identical" and the digest, or the first event that differs with what was recorded, what came
    out now, and the chain of causes. Exit code 0 identical, 3 diverged, 4 damaged.
    """
    folders = day_folders((day,))
    if len(folders) != 1:
        raise UsageError(f"{day} holds {len(folders)} days; give one, such as {folders[0]}")
    if from_raw:
        if until_seq is not None or config is not None or strategies or params:
            raise UsageError(
                "--from-raw compares what was received; it takes no --until, --config, --strategy, --param"
            )
        # Here, since nothing else of a replay needs a venue.
        from engine.commands.redecoding import compare_raw

        compare_raw(folders[0], as_json=as_json)
        return
    if params and config is None and not strategies:
        raise UsageError("--param needs --strategy or --config; without them the recorded ones are replayed")
    began = time.perf_counter()
    report, chain = replay_folder(folders[0], until_seq, config, strategies, params)
    seconds = time.perf_counter() - began
    if until_seq is not None and not report.events:
        raise UsageError(f"{folders[0]}: begins after seq {until_seq}; nothing was verified")
    if as_json:
        print_json(report_of(report, chain, seconds))
    else:
        _print(folders[0], report, chain, seconds)
    if not report.identical:
        raise SystemExit(3)


def replay_folder(
    folder: Path,
    until_seq: int | None = None,
    config: Path | None = None,
    strategies: tuple[str, ...] = (),
    params: tuple[str, ...] = (),
) -> tuple[Replayed, list[dict[str, Any]]]:
    """Replay a day; return the report and, when it diverged, the expected event's causes, oldest first."""
    builder = make_builder()
    other = read_config(config, strategies, None, params).canonical() if config or strategies else None

    def build(started: SessionStarted) -> Any:
        return builder(msgspec.structs.replace(started, config=other) if other is not None else started)

    check = session_check(code_fingerprint(), builder.strategy_hashes, other)
    history = JournalHistory(folder.parent)
    reader = open_day(folder)
    with progress(f"replaying {folder.name}") as tell:
        report, sequencer = replay_day(
            reader, build, history=history, check=check, until_seq=until_seq, progress=tell
        )
    if report.divergence is None:
        return report, []
    renderer = Renderer()
    renderer.learn(sequencer.instruments.values())
    seq = (report.divergence.expected or report.divergence.actual or (report.divergence.seq,))[0]
    try:
        records = chain_of(folder, seq)
    except UsageError:
        records = []
    return report, [_json(renderer, record) or {} for record in records]


def report_of(report: Replayed, chain: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
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
            "chain": chain,
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


def _print(folder: Path, report: Replayed, chain: list[dict[str, Any]], seconds: float) -> None:
    if report.torn_bytes:
        click.echo(
            f"{folder}: the last {report.torn_bytes} bytes are a torn frame; verified what is before it"
        )
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
            click.echo(f"  though changed since: {change}")
        return
    assert report.divergence is not None
    renderer = Renderer()
    renderer.learn(_instruments(folder))
    click.echo(f"{folder}: diverges at seq {report.divergence.seq}: {report.verdict}")
    for name, record in (("recorded", report.divergence.expected), ("now", report.divergence.actual)):
        click.echo(f"  {name:9} {renderer.as_text(*record) if record else '(nothing)'}")
    for change in report.changes:
        click.echo(f"  changed   {change}")
    for link in chain:
        click.echo(f"  because   seq {link.get('seq')} {link.get('type')} at {link.get('at')}")


def _instruments(folder: Path) -> Any:
    from engine.events import DayOpened, InstrumentListed

    for _, _, event in read_records(folder):
        if isinstance(event, InstrumentListed):
            yield event
        elif isinstance(event, DayOpened):
            yield from event.instruments


def state_after(folder: Path) -> Sequencer:
    """Return a sequencer in the state at the end of a day."""
    return replay_day(open_day(folder), make_builder(), history=JournalHistory(folder.parent))[1]
