"""`engine report DAY...`: what recorded days earned, and two runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from engine.analysis.matching import WINDOW_NS, Orders
from engine.analysis.measures import measure_rows, report_fields
from engine.analysis.report import Report
from engine.analysis.tables import Table, pairs_table, report_tables, summary_table
from engine.clock import iso_text
from engine.commands.configuration import read_config
from engine.commands.output import json_option, print_json, progress, table
from engine.commands.pages import Drawn, check_page, folders_by_day, title_of, write_page
from engine.commands.tables import check_tables, csv_option, write_tables
from engine.config import Config
from engine.errors import UsageError
from engine.pages.comparison import First, Run, Summary, comparison_page
from engine.pages.report import Origin, report_page
from engine.records import day_folders
from engine.values import format_interval
from replay.differences import Comparison, Side, compare
from replay.reports import report_of_days

__all__ = ["report_command"]

_RULE = (
    "The fills of an order count as one. An order is matched with one of the other run of the same "
    f"instrument and side, at most {format_interval(WINDOW_NS)} earlier or later: of the same strategy "
    "first, then of the same size, then the nearest in time."
)


@click.command("report")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a page that needs no server. Replaces only a page of ours.",
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="TOML file; only its section [report] counts."
)
@click.option("--compare", "comparing", is_flag=True, help="Compare two runs: LIVE BACKTEST.")
@csv_option
@json_option
def report_command(
    days: tuple[Path, ...],
    out: Path | None,
    config: Path | None,
    comparing: bool,
    tables: Path | None,
    as_json: bool,
) -> None:
    """Report what DAYS earned: days of a live session, on paper, or of a backtest with --out.

    DAYS are folders of days of one journal, or a journal with days in it. Nothing is derived again: the
    numbers are those of the records. With --compare, DAYS are two runs, such as a live day and the backtest
    of it: their curves, their orders beside each other, and the first difference with its causes.
    """
    if out is not None:
        check_page(out)
    if tables is not None:
        check_tables(tables)
    settings = read_config(config, (), None, ()) if config is not None else Config()
    if comparing:
        _compare(days, settings, out, tables, as_json=as_json)
        return
    drawn = Drawn()
    with progress("report") as report_progress:
        report = report_of_days(days, config=settings, watch=[drawn] if out else [], progress=report_progress)
    if out is not None:
        started = drawn.causes.started
        traded = sorted({row.name for row in report.by_instrument})
        origin = Origin(
            title_of(started, traded or map(drawn.charting.instruments.label, drawn.charting.candles)),
            "recorded" if started is None else started.mode,
            folders_by_day(day_folders(days)),
            str(days[0]),
        )
        write_page(out, report_page(report, origin, *drawn.parts))
    times = {"first": iso_text(report.begin_ns), "last": iso_text(report.end_ns)}
    if tables is not None:
        write_tables(tables, report_tables(report, times))
    if as_json:
        print_json(report_fields(report) | times)
        return
    table(_rows(report))
    if out is not None:
        click.echo(f"report written to {out}")
    if tables is not None:
        click.echo(f"tables written to {tables}")


def _rows(report: Report) -> list[tuple[str, str]]:
    metrics = report.metrics
    return [
        ("period", f"{iso_text(report.begin_ns)[:19]} to {iso_text(report.end_ns)[:19]}"),
        ("fees", str(metrics["fees"] or "none")),
        ("funding", str(metrics["funding"] or "none")),
        ("equity", f"{metrics['equity_end'] or 'none'} (began with {metrics['equity_start'] or 'none'})"),
        *measure_rows(report),
        *(("note", note) for note in report.table_notes),
        ("digest", report.fingerprints.digest),
    ]


def _compare(
    days: Sequence[Path], settings: Config, out: Path | None, tables: Path | None, *, as_json: bool
) -> None:
    if len(days) != 2:
        raise UsageError(f"--compare takes two runs, LIVE and BACKTEST; {len(days)} were given")
    runs: list[Run] = []
    sides: list[Side] = []
    names = _names(days)
    for path, name in zip(days, names, strict=True):
        drawn, orders = Drawn(), Orders()
        with progress(f"report {name}") as report_progress:
            report = report_of_days([path], config=settings, watch=[drawn, orders], progress=report_progress)
        folders = sorted(day_folders((path,)), key=lambda one: one.name)
        runs.append(Run(name, report))
        sides.append(Side(folders, orders, drawn.causes.started, report.begin_ns, report.end_ns))
    found = compare(sides[0], sides[1])
    if out is not None:
        write_page(out, comparison_page(runs[0], runs[1], _summary(found), found.pairs))
    if tables is not None:
        write_tables(tables, _tables(found, runs))
    if as_json:
        metrics = {name: run.report.metrics for name, run in zip(("live", "backtest"), runs, strict=True)}
        print_json({**msgspec.to_builtins(found), "metrics": metrics})
        return
    table(_difference_rows(found, names))
    if out is not None:
        click.echo(f"comparison written to {out}")
    if tables is not None:
        click.echo(f"tables written to {tables}")


def _tables(found: Comparison, runs: Sequence[Run]) -> list[Table]:
    """Return a comparison as tables: everything that its JSON has."""
    values = {name: getattr(found, name) for name in found.__struct_fields__}
    pairs, conditions, first = (values.pop(name) for name in ("pairs", "conditions", "first"))
    chains: list[tuple[str, str]] = []
    if first is not None:
        fields = msgspec.structs.asdict(first)
        for side in ("live", "backtest"):
            chains += [(side, line) for line in fields.pop(f"{side}_chain")]
        values |= {f"first.{name}": value for name, value in fields.items()}
    live, backtest = (run.report.metrics for run in runs)
    return [
        summary_table(values),
        Table("metrics", ("name", "live", "backtest"), [(name, live[name], backtest[name]) for name in live]),
        pairs_table("pairs", pairs),
        Table("conditions", ("name", "live", "backtest"), conditions),
        Table("causes", ("run", "line"), chains),
    ]


def _names(days: Sequence[Path]) -> tuple[str, str]:
    """Return short names of two paths that tell them apart."""
    one, other = (path.resolve() for path in days)
    if one.name != other.name:
        return one.name, other.name
    if one.parent.name != other.parent.name:
        return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"
    return str(days[0]), str(days[1])


def _summary(found: Comparison) -> Summary:
    first = found.first
    return Summary(
        (found.begin_ns, found.end_ns),
        found.instruments,
        found.inputs,
        found.matched,
        found.equal,
        (found.only_live, found.only_backtest),
        found.price_percent,
        found.latency_ms,
        found.conditions,
        None
        if first is None
        else First(
            first.what,
            first.at_ns,
            (first.live, first.backtest),
            (first.live_seq, first.backtest_seq),
            (first.live_day, first.backtest_day),
            (first.live_chain, first.backtest_chain),
        ),
        _RULE,
        found.left,
    )


def _difference_rows(found: Comparison, names: tuple[str, str]) -> list[tuple[str, str]]:
    """Return a comparison as rows: what was compared, the first difference, then each order that differs."""
    rows = [
        ("period", f"{iso_text(found.begin_ns)[:19]} to {iso_text(found.end_ns)[:19]}, which both cover"),
        ("instruments", ", ".join(found.instruments)),
        ("inputs", f"{found.inputs:,} prices are equal from the begin on"),
        ("orders", f"{found.matched:,} matched, {found.equal:,} of them equal"),
        ("only in one", f"{found.only_live:,} in {names[0]}, {found.only_backtest:,} in {names[1]}"),
    ]
    if found.price_percent is not None:
        rows.append(
            ("fills", f"{names[0]} {found.price_percent:+.4f} % worse, {found.latency_ms:+,.3f} ms later")
        )
    if found.left:
        rows.append(("left out", f"{found.left:,} later orders"))
    rows += [(name, f"{one} in {names[0]}, {other} in {names[1]}") for name, one, other in found.conditions]
    first = found.first
    if first is None:
        return [*rows, ("difference", "none: inputs, decisions and fills are equal")]
    rows.append(("first", f"{first.what} at {iso_text(first.at_ns)}"))
    for name, said, seq, day, chain in (
        (names[0], first.live, first.live_seq, first.live_day, first.live_chain),
        (names[1], first.backtest, first.backtest_seq, first.backtest_day, first.backtest_chain),
    ):
        rows.append((name, f"{said} (engine why {day} {seq})" if seq else said))
        rows += [("", line) for line in chain]
    return rows
