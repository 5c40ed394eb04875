"""`engine sweep DAY...`: backtests with many parameters, and which of them is best by a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from engine.commands.configuration import read_config
from engine.commands.forward import show_forward
from engine.commands.output import (
    begin_option,
    config_option,
    end_option,
    json_option,
    print_json,
    progress,
    strategy_option,
    table,
)
from engine.commands.pages import check_page, page_option, write_page
from engine.errors import ReplayDivergence, SafetyRefusal, StrategyFailed, UsageError
from engine.events.render import printable
from engine.loading.modules import project_folder, search_folders
from engine.search.axes import parse_axis
from engine.search.executors import cores, open_executor
from engine.search.folds import parse_plan
from engine.search.forward import walk_forward
from engine.search.jobs import Trial, day_refs
from engine.search.luck import Luck, luck_of
from engine.search.page import sweep_page
from engine.search.proposals import SEARCHES
from engine.search.proving import Proof, prove
from engine.search.ranking import best_of, direction_of, ranked, why_unranked
from engine.search.registry import Registry
from engine.search.sweeping import Sweep, define, run_sweep
from replay.ranges import parse_range

__all__ = ["sweep_command"]

_SHOWN = 10


@click.command("sweep")
@click.argument("days", nargs=-1, type=click.Path(path_type=Path))
@strategy_option
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUES",
    help="What to try: fast=5:30:5 (5, 10, ... 30) or slow=20,50,100; may be repeated.",
)
@config_option
@begin_option
@end_option
@click.option(
    "--metric",
    default="return_percent",
    show_default=True,
    help="Which trial is best; the names of `engine backtest --json`.",
)
@click.option(
    "--better",
    type=click.Choice(("more", "less")),
    help="Of a metric that has no direction by itself, such as turnover.",
)
@click.option(
    "--search",
    type=click.Choice(SEARCHES),
    default="grid",
    show_default=True,
    help="All combinations, random ones, or what Optuna proposes (tpe).",
)
@click.option(
    "--walk-forward",
    "forward",
    metavar="PLAN",
    help="train=30d,test=7d[,anchored][,embargo=2d][,warmup=1d]: choose on the past, test on what follows.",
)
@click.option("--trials", type=click.IntRange(1), help="How many trials random and tpe run.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random and tpe.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Trials at once on this host. Default: its cores.")
@click.option(
    "--executor",
    metavar="NAME",
    help="local:N, dask:tcp://HOST:PORT, ray, or module:factory of a concurrent.futures.Executor.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the sweep; the same one goes on."
)
@click.option(
    "--prove", "number", type=click.IntRange(1), metavar="N", help="Run trial N of --out again and compare."
)
@page_option
@json_option
def sweep_command(
    days: tuple[Path, ...],
    strategies: tuple[str, ...],
    params: tuple[str, ...],
    config: Path | None,
    begin: str | None,
    end: str | None,
    metric: str,
    better: str | None,
    search: str,
    forward: str | None,
    trials: int | None,
    seed: int,
    jobs: int | None,
    executor: str | None,
    out: Path,
    number: int | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Run a strategy with many parameters on the market data of DAYS.

    Each combination is one backtest (a trial) in a process of its own. DIR/trials.jsonl has one line for
    each: its parameters, all metrics and the digest. The results are the same whatever the number of jobs.

    With --walk-forward the best parameters of each training trade the time after it, and the parts out of
    sample are joined to one run, DIR/run.

    A sweep that was stopped goes on with the same command. With --prove N, trial N of DIR is run again and
    compared; DAYS are then where the days are now, by default where they were.
    """
    if jobs is not None and executor is not None:
        raise UsageError("--jobs and --executor: give one of them; --jobs 4 is --executor local:4")
    name = executor or f"local:{jobs or cores()}"
    settings = read_config(config, strategies, None)
    folders = tuple(search_folders()[1:])
    if number is not None:
        with open_executor(name) as running:
            refs = day_refs(days) if days else ()
            proof = prove(out, number, running, days=refs, project=project_folder(), folders=folders)
        _show_proof(proof, out, as_json)
        return
    if not days:
        raise UsageError("DAY: give at least one day, such as journal/2024-12-05")
    if search != "grid" and trials is None:
        raise UsageError(f"--search {search}: say how many trials, such as --trials 100")
    if search == "grid" and trials is not None:
        raise UsageError("--trials: a grid runs all combinations; add --search random or --search tpe")
    direction = direction_of(metric, better)
    if not params:
        raise UsageError("--param: say what to try, such as --param fast=5:30:5")
    if page is not None:
        check_page(page)
    if forward is not None:
        names = ", ".join(entry.title for entry in settings.strategies)
        plan, within = parse_plan(forward), parse_range(begin, end)
        with open_executor(name) as running, progress("trials") as report_progress:
            result = walk_forward(
                day_refs(days),
                settings,
                [parse_axis(text) for text in params],
                plan,
                running,
                out,
                metric=metric,
                better=direction,
                project=project_folder(),
                folders=folders,
                within=within,
                progress=report_progress,
                search=search,
                trials=trials or 0,
                seed=seed,
            )
        show_forward(result, names, out, page, as_json)
        return
    sweep = define(
        day_refs(days),
        settings,
        [parse_axis(text) for text in params],
        metric=metric,
        better=direction,
        project=project_folder(),
        folders=folders,
        search=search,
        trials=trials or 0,
        seed=seed,
        within=parse_range(begin, end),
    )
    registry = Registry(out, sweep.definition)
    try:
        found = _run(sweep, registry, name)
    except KeyboardInterrupt:
        click.echo(
            f"engine: {len(registry.done)} of {sweep.size} trials are in {out}; the same command goes on",
            err=True,
        )
        raise
    finally:
        registry.close()
    for path in (out / "sweep.html", page):
        if path is not None and (path == page or not path.exists()):
            write_page(path, sweep_page(sweep.definition, found))
    _show(sweep, found, out, as_json)


def _run(sweep: Sweep, registry: Registry, executor: str) -> list[Trial]:
    if registry.complete:
        return registry.finish()
    if registry.done:
        click.echo(f"engine: {len(registry.done)} of {sweep.size} trials were done before", err=True)
    with open_executor(executor) as running, progress("trials", sweep.size) as report_progress:
        return run_sweep(sweep, registry, running, report_progress)


def _show(sweep: Sweep, trials: list[Trial], out: Path, as_json: bool) -> None:
    metric, better = sweep.definition.metric, sweep.definition.better
    order = ranked(trials, metric, better)
    best = best_of(trials, metric, better)
    luck = None
    if best is not None:
        luck = luck_of(trials, best, sweep.definition.params, metric=metric, better=better)
    note = "" if best is not None else why_unranked(trials, metric)
    states = [trial.outcome.state for trial in trials]
    if as_json:
        print_json(
            {
                "trials": len(trials),
                "distinct": len(trials) - sum(bool(trial.repeats) for trial in trials),
                "done": states.count("done"),
                "no_orders": states.count("no orders"),
                "failed": states.count("failed"),
                "metric": metric,
                "better": "more" if better > 0 else "less",
                "best": None if best is None else _builtins(best),
                "luck": luck,
                "note": note,
                "ranking": [trial.number for trial in order],
                "out": str(out),
            }
        )
    else:
        rows: list[tuple[str, Any]] = [
            (f"trial {trial.number}", _line(trial, metric)) for trial in order[:_SHOWN]
        ]
        if len(order) > _SHOWN:
            rows.append(("", f"and {len(order) - _SHOWN:,} more"))
        if best is None or luck is None:
            rows.append(("best", note))
        else:
            rows.append(("best", f"trial {best.number} by {metric}, of {len(trials)}: {_params(best)}"))
            rows += _doubts(luck)
        rows.append(("written", f"{out / 'trials.jsonl'} and {out / 'sweep.html'}"))
        rows.append(("again", f"`engine sweep --prove N --out {out}` runs trial N again and compares"))
        table(rows)
    if states and states.count("failed") == len(states):
        raise StrategyFailed(f"all {len(states)} trials failed: {trials[0].outcome.failure}")


def _doubts(luck: Luck) -> list[tuple[str, str]]:
    """Return the verdict on the best trial and why."""
    return [("luck", luck.verdict), *(("", line) for line in luck.lines)]


def _builtins(trial: Trial) -> dict[str, Any]:
    return {"number": trial.number, "params": trial.params, **msgspec.to_builtins(trial.outcome)}


def _line(trial: Trial, metric: str) -> str:
    outcome = trial.outcome
    if outcome.state == "failed":
        shown = f"failed: {outcome.failure}"
    elif outcome.state == "no orders":
        shown = "no orders"
    else:
        value = trial.value(metric)
        shown = f"{metric} {'none' if value is None else value}, {outcome.orders} orders"
    return f"{_params(trial)}: {shown}"


def _params(trial: Trial) -> str:
    return printable(", ".join(f"{name}={value}" for name, value in trial.params.items()))


def _show_proof(proof: Proof, out: Path, as_json: bool) -> None:
    if as_json:
        print_json({"identical": proof.identical, **msgspec.to_builtins(proof)})
    else:
        rows = [("trial", f"{proof.number} of {out}"), ("digest", proof.digest)]
        rows.append(("result", "identical" if proof.identical else f"differs: {proof.difference}"))
        rows += [("environment", one) for one in proof.environment]
        table(rows)
    if proof.identical:
        return
    if proof.environment:
        raise SafetyRefusal(
            f"trial {proof.number} was computed in another environment ({proof.environment[0]}), "
            "so the difference proves nothing"
        )
    raise ReplayDivergence(
        f"trial {proof.number} differs: {proof.difference}", seq=0, expected=None, actual=None
    )
