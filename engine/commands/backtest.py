"""`engine backtest DAY...`: runs another strategy or configuration on recorded market data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from engine.analysis.measures import measure_rows, report_fields
from engine.analysis.tables import Table, report_tables, summary_table, text_table
from engine.clock import iso_text
from engine.commands.configuration import read_config, with_latency
from engine.commands.output import (
    begin_option,
    config_option,
    end_option,
    json_option,
    param_option,
    print_json,
    progress,
    refuse_failures,
    strategy_option,
    table,
)
from engine.commands.pages import Drawn, check_page, folders_by_day, page_option, title_of, write_page
from engine.commands.tables import check_tables, csv_option, write_tables
from engine.journal import list_days
from engine.pages.report import Origin, report_page
from engine.runtime.notices import refusals_text
from replay.backtesting import BacktestReport, Simulated
from replay.ranges import Range
from replay.runs import backtest

__all__ = ["backtest_command"]


@click.command("backtest")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@strategy_option
@param_option
@config_option
@begin_option
@end_option
@click.option(
    "--warmup",
    metavar="2d",
    help="Warm up on the time before --begin (default: the first day given) without trading on it.",
)
@click.option(
    "--latency",
    type=click.Choice(["recorded"]),
    help="Latencies and refusals of the simulated venue as they were in the recorded session.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the run as a journal into this folder.")
@page_option
@csv_option
@json_option
def backtest_command(
    days: tuple[Path, ...],
    strategies: tuple[str, ...],
    params: tuple[str, ...],
    config: Path | None,
    begin: str | None,
    end: str | None,
    warmup: str | None,
    latency: str | None,
    out: Path | None,
    page: Path | None,
    tables: Path | None,
    as_json: bool,
) -> None:
    """Run a strategy on the market data of DAYS, with the simulated venue.

    DAYS are folders of days, or journals with days in them, in any order; they may be of several journals.
    History that `engine backfill` fetched is played where the days have no trades or candles. With --begin
    and --end, only the range [begin, end) of them is read. With --warmup 2d, strategies see the two days
    before too, also those of the same journal that are not among DAYS, and do not trade on them.

    The same days, strategy, configuration and range give the same digest. With --out, the run can be
    replayed, inspected and projected like a day that traded live. With --report, the result is a page too:
    charts, tables, round trips and their causes. With --csv, everything is in tables of a folder.
    """
    settings = read_config(config, strategies, None, params)
    if latency is not None:
        settings = with_latency(settings)
    if page is not None:
        check_page(page)
    if tables is not None:
        check_tables(tables)
    drawn = Drawn()
    began = time.perf_counter()
    with progress("backtest") as report_progress:
        report = backtest(
            days,
            settings,
            out=out,
            progress=report_progress,
            begin=begin,
            end=end,
            warmup=warmup,
            watch=[] if page is None else [drawn],
        )
    seconds = time.perf_counter() - began
    if page is not None:
        write_page(page, report_page(report.analysis, _origin(report, drawn, out), *drawn.parts))
    fields = _fields(report, seconds)
    if tables is not None:
        write_tables(tables, _tables(report, fields))
    if as_json:
        print_json({**report_fields(report.analysis), **fields})
    else:
        _print(report, seconds)
        if page is not None:
            click.echo(f"report written to {page}")
        if tables is not None:
            click.echo(f"tables written to {tables}")
        if out is not None:
            click.echo(f"written to {out}: replay it with `engine replay {list_days(out)[0].path}`")
    refuse_failures(report.failures)


def _fields(report: BacktestReport, seconds: float) -> dict[str, Any]:
    """Return what the JSON of a run has beside the report."""
    fields = msgspec.to_builtins(report)
    del fields["analysis"]
    return {
        **fields,
        "first": iso_text(report.first),
        "last": iso_text(report.last),
        "begin": iso_text(report.begin) if report.begin else None,
        "end": iso_text(report.end) if report.end else None,
        "seconds": round(seconds, 6),
    }


def _tables(report: BacktestReport, fields: dict[str, Any]) -> list[Table]:
    """Return a run as tables: the report's, and those of what the JSON has beside it."""
    positions = report.positions
    columns = dict.fromkeys(key for held in positions.values() for key in held)
    rows = {name: value for name, value in fields.items() if not isinstance(value, list | dict)}
    return [
        *report_tables(report.analysis, rows),
        Table("positions", ("name", *columns), [(name, *held.values()) for name, held in positions.items()]),
        *_simulated_tables(report.simulated),
        Table("refusals", ("limit", "count"), list(report.refusals.items())),
        text_table("failures", report.failures),
        text_table("notes", report.notes),
    ]


def _simulated_tables(simulated: Simulated | None) -> list[Table]:
    values = {} if simulated is None else msgspec.structs.asdict(simulated)
    beyond = values.pop("beyond", {})
    rows = [(name, one.orders, one.wanted, one.filled) for name, one in beyond.items()]
    return [
        summary_table(values, "simulated"),
        Table("beyond", ("name", "orders", "wanted", "filled"), rows),
    ]


def _origin(report: BacktestReport, drawn: Drawn, out: Path | None) -> Origin:
    """Return what the page says of where its numbers come from."""
    rows = [
        ("inputs", _inputs(report)),
        ("orders", _orders(report)),
        *([("refused", refusals_text(report.refusals))] if report.refusals else []),
        *([("range", _range(report))] if report.begin or report.end else []),
        *((name, _position(held)) for name, held in report.positions.items()),
    ]
    failed = [f"strategy failed: {failure}; the result ends there" for failure in report.failures]
    days = [] if out is None else [day.path for day in list_days(out)]
    return Origin(
        title_of(drawn.causes.started, map(drawn.charting.instruments.label, drawn.charting.candles)),
        "backtest",
        folders_by_day(days),
        str(out or "RUN"),
        written=out is not None,
        facts=rows,
        notes=[*failed, *report.notes],
    )


def _inputs(report: BacktestReport) -> str:
    rates = f", {report.funding_rates:,} funding rates" if report.funding_rates else ""
    return f"{report.trades:,} trades, {report.quotes:,} quotes, {report.candles:,} candles{rates}"


def _orders(report: BacktestReport) -> str:
    return f"{report.orders:,} sent, {report.refused:,} refused, {report.fills:,} fills"


def _print(report: BacktestReport, seconds: float) -> None:
    inputs = report.trades + report.quotes + report.candles
    rows = [
        ("period", f"{iso_text(report.first)[:19]} to {iso_text(report.last)[:19]}"),
        *([("range", _range(report))] if report.begin or report.end else []),
        ("inputs", _inputs(report)),
        ("bars", f"{report.bars:,}"),
        ("orders", _orders(report)),
        *([("refused", refusals_text(report.refusals))] if report.refusals else []),
        ("fees", report.fees),
        ("realized", report.realized_pnl),
        ("unrealized", report.unrealized_pnl),
        *([("funding", report.funding)] if report.funding != "0" else []),
        ("equity", f"{report.equity} (began with {report.cash}, largest fall {report.max_drawdown})"),
    ]
    rows += measure_rows(report.analysis)
    rows += [(name, _position(held)) for name, held in report.positions.items()]
    rows += [("note", note) for note in report.notes]
    rows += [("failed", failure) for failure in report.failures]
    rows += [("digest", report.digest), ("time", f"{seconds:.2f} s, {inputs / seconds:,.0f} inputs/s")]
    table(rows)


def _range(report: BacktestReport) -> str:
    return Range(report.begin, report.end, report.warmup_ns).text()


def _position(held: dict[str, str]) -> str:
    """Return a position in words: `long 5, price 100.03`."""
    side = {"buy": "long", "sell": "short"}.get(held["side"])
    return f"{side} {held['size'].removeprefix('-')}, price {held['mark']}" if side else "flat"
