"""`engine check STRATEGY DAY...`: whether decisions depend on what came later."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from engine.clock import iso_text
from engine.commands.configuration import read_config
from engine.commands.output import json_option, param_option, print_json, progress, table
from engine.errors import ReplayDivergence
from engine.loading.modules import project_folder, search_folders
from engine.records import day_folders
from replay.lookahead import CUTS, Checked, check_lookahead

__all__ = ["check_command"]

_ADVICE = {
    "later data": "it reads what later days hold, such as instruments that are listed then",
    "later rows of a table": "it reads rows of {tables} before their time",
    "state outside": "an object of a module or class keeps values from run to run: keep them in self",
}


@click.command("check")
@click.argument("strategy")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@param_option
@click.option("--config", type=click.Path(path_type=Path), help="TOML file; `engine config` lists its keys.")
@click.option(
    "--cuts",
    type=click.IntRange(1, 1000),
    default=CUTS,
    show_default=True,
    help="Prefixes to compare, spread over the decisions. More find more, and take longer.",
)
@json_option
def check_command(
    strategy: str,
    days: tuple[Path, ...],
    params: tuple[str, ...],
    config: Path | None,
    cuts: int,
    as_json: bool,
) -> None:
    """Check that no decision of STRATEGY (module:Class) on DAYS depends on what came later.

    \b
    A backtest that knows the future earns money that no live session will. Three ways in are tried:
      - prefixes: the days end right after a decision; the decisions until then must stay the same
      - tables: dicts and lists by time in your modules have only the rows until now
      - state outside: the days run again in modules that have seen all of them

    The first decision that differs is named with its time and its seq: a backtest with --out has the same
    seqs, so `engine why` shows what led to it. Exit code 3 if one differs, 0 if none does, 7 if the strategy
    fails. What a check cannot find is in docs/backtesting.md.

    \b
    Example:
      engine check engine.strategies.crossover:Crossover journal/2024-12-05
    """
    settings = read_config(config, (strategy,), None, params)
    with progress("check") as report_progress:
        found = check_lookahead(
            day_folders(days),
            settings,
            project=project_folder(),
            folders=search_folders()[1:],
            cuts=cuts,
            progress=report_progress,
        )
    if as_json:
        at = iso_text(found.at_ns) if found.cause else None
        print_json({**msgspec.to_builtins(found), "at": at})
    if found.cause:
        raise ReplayDivergence(_text(found), seq=found.seq, expected=found.other, actual=found.decision)
    if not as_json:
        table(_rows(found))


def _text(found: Checked) -> str:
    advice = _ADVICE[found.cause].format(tables=", ".join(found.tables))
    seq = f" (seq {found.seq})" if found.seq else ""
    return (
        f"look-ahead by {found.cause} at {iso_text(found.at_ns)}{seq}: {advice}\n"
        f"  decided:     {found.decision or 'nothing'}\n"
        f"  without it:  {found.other or 'nothing'}"
    )


def _rows(found: Checked) -> list[tuple[str, str]]:
    if not found.decisions:
        return [("check", "the strategy decided nothing on these days, so nothing was compared")]
    return [
        ("check", "no decision depends on what came later"),
        ("compared", f"{found.decisions:,} decisions in {found.runs} runs"),
    ]
