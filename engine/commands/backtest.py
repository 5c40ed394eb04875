"""`engine backtest DAY...`: recorded market inputs through another strategy or configuration."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from engine.clock import SystemIds, iso_text
from engine.commands.configuration import read_config
from engine.commands.output import json_option, param_option, print_json, progress, refuse_failures, table
from engine.errors import UsageError
from engine.journal import JournalLock, JournalWriter, Tail, ensure_identity, list_days
from engine.loading.strategies import make_builder
from engine.records import day_folders
from replay.backtest import BacktestReport, DigestSink, JournalSink, run_backtest

__all__ = ["backtest_command"]


@click.command("backtest")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--strategy", "strategies", multiple=True, metavar="M:C", help="module:Class; may be repeated.")
@param_option
@click.option(
    "--config", type=click.Path(path_type=Path), help="TOML file; see engine/config.py for the keys."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the run as a journal into this folder.")
@json_option
def backtest_command(
    days: tuple[Path, ...],
    strategies: tuple[str, ...],
    params: tuple[str, ...],
    config: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Play the market of DAYS (in order) to a strategy on the simulated venue.

    The same days, strategy and configuration give the same digest. With --out, the run can be replayed,
    inspected and projected like a day that traded live.
    """
    settings = read_config(config, strategies, None, params)
    folders = day_folders(days)
    began = time.perf_counter()
    with progress("backtest") as tell:
        if out is None:
            report = run_backtest(folders, make_builder(), settings, DigestSink(), progress=tell)
        else:
            if out.exists() and list_days(out):
                raise UsageError(f"{out}: holds days already; give a new folder to --out")
            ids = SystemIds()
            out.mkdir(parents=True, exist_ok=True)
            with JournalLock(out):
                journal_id = ensure_identity(out, ids.random_bytes(16))
                tail = Tail(journal_id=journal_id)
                writer = JournalWriter(out, tail, salts=lambda: ids.random_bytes(16), sync=False)
                with writer:
                    report = run_backtest(
                        folders, make_builder(), settings, JournalSink(writer), progress=tell
                    )
    seconds = time.perf_counter() - began
    if as_json:
        result = msgspec.to_builtins(report)
        result |= {
            "first": iso_text(report.first),
            "last": iso_text(report.last),
            "seconds": round(seconds, 6),
        }
        print_json(result)
    else:
        _print(report, seconds)
        if out is not None:
            click.echo(f"written to {out}: replay it with `engine replay {list_days(out)[0].path}`")
    refuse_failures(report.failures)


def _print(report: BacktestReport, seconds: float) -> None:
    inputs = report.trades + report.quotes + report.candles
    rows = [
        ("played", f"{iso_text(report.first)[:19]} to {iso_text(report.last)[:19]}"),
        ("inputs", f"{report.trades:,} trades, {report.quotes:,} quotes, {report.candles:,} candles"),
        ("bars", f"{report.bars:,}"),
        ("orders", f"{report.orders:,} sent, {report.refused:,} refused, {report.fills:,} fills"),
        ("fees", report.fees),
        ("realized", report.realized_pnl),
        ("unrealized", report.unrealized_pnl),
        ("equity", f"{report.equity} (began with {report.cash}, largest fall {report.max_drawdown})"),
    ]
    rows += [
        (name, f"{held['side']} {held['size']} at {held['mark']}") for name, held in report.positions.items()
    ]
    rows += [("failed", failure) for failure in report.failures]
    rows += [("digest", report.digest), ("time", f"{seconds:.2f} s, {inputs / seconds:,.0f} inputs/s")]
    table(rows)
