"""`engine demo`: a live session on the embedded sandbox, then a replay that must give the same digest."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import trio

import replay
from engine.commands.configuration import read_config
from engine.commands.live import run_live
from engine.commands.planning import LiveOptions
from engine.commands.speaking import speaking
from engine.commands.stores import session_stores
from engine.errors import EngineError
from engine.loading.venues import find_venue

__all__ = ["demo_command"]

DEMO_CONFIG = """
[[strategies]]
use = "engine.strategies.crossover:Crossover"
params = { fast = 3, slow = 6, interval = "1s" }
[bars]
intervals = ["1s", "5s", "1m"]
grace_ms = 200
"""


@click.command("demo")
@click.option("--for", "seconds", type=float, default=30.0, show_default=True, metavar="SECONDS")
@click.option("--keep", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True)
def demo_command(seconds: float, keep: Path) -> None:
    """Trade on the sandbox exchange for half a minute, then replay the journal and compare.

    Market data is received over a real websocket, an EMA crossover on one-second bars trades, the simulated
    venue fills its orders, and every event is written to a journal in the folder --keep. The replay must
    print the same digest.
    """
    if keep.exists() and any(keep.iterdir()) and not (keep / "journal.id").exists():
        raise EngineError(f"{keep}: is not the folder of a demo and was not changed; give another --keep")
    shutil.rmtree(keep, ignore_errors=True)
    keep.mkdir(parents=True)
    (keep / "demo.toml").write_text(DEMO_CONFIG, encoding="utf-8")
    click.echo(f"trading on the embedded sandbox for {seconds:g} s ...")

    config = read_config(keep / "demo.toml", (), None)
    options = LiveOptions(
        config=config,
        root=keep,
        venue=find_venue("sandbox"),
        stores=session_stores(config, keep),
        seconds=seconds,
    )
    with speaking() as notify:
        result = trio.run(run_live, options, notify)
    click.echo(
        f"live    {result.digest}  seq {result.first_seq} to {result.last_seq}, {result.commands} commands"
    )
    click.echo("replaying from the journal ...")
    digest = ""
    for day in result.days:
        report = replay.verify(keep / day)
        digest = report.digest
        if not report.identical:
            raise EngineError(
                f"{keep / day}: {report.verdict}; run `engine replay {keep / day}` to see where"
            )
    click.echo(f"replay  {digest}")
    if digest != result.digest:
        raise EngineError("the replay has another digest than the live session")
    click.echo("identical")
    last = keep / result.days[-1]
    click.echo(f"next: engine inspect {last} --type OrderFilled")
    click.echo(f"      engine why {last} SEQ")
    click.echo(f"      sqlite3 {keep / 'retape.db'} 'select * from fills'")
