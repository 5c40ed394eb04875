"""`engine ctl`: commands to a running engine, over the socket in its journal's folder.

Owns the words of the command line and how an outcome is shown; what a command means, and whether it is
allowed, is decided by the engine. Promises: nothing that was not said is taken as "all"; a command is sent
with a nonce of its own, so a lost answer never makes it happen twice; the exit code says what became of it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from engine.commands.client import EngineClient, journal_option, new_nonce, shaped
from engine.commands.output import json_option, print_json
from engine.config import nearest
from engine.errors import NotDone, SafetyRefusal, UsageError
from engine.events.render import printable

__all__ = ["ctl_command"]

_SPAN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_BOOKS: Final = ("manual", "external")
"""The books that belong to no strategy: orders by hand, and fills from outside. They are named like one."""
_PERCENT: Final = "%"
_LEFT_SHOWN: Final = 5


class _Strategy(msgspec.Struct):
    name: str


class _Strategies(msgspec.Struct):
    strategies: list[_Strategy]


class _Instrument(msgspec.Struct):
    instrument: str
    key: str


class _Instruments(msgspec.Struct):
    instruments: list[_Instrument]


class _Link(msgspec.Struct):
    link: str


class Span(click.ParamType[float]):
    """A span of time in seconds: 500ms, 30s, 5m or 2h."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds of a text."""
        match = _SPAN.fullmatch(str(value))
        if match is None:
            self.fail(f"{str(value)[:20]!r}: write it as 500ms, 30s, 5m or 2h", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


class Sending:
    """What every command has: the journal, how long to wait, how to show the outcome, and the nonce."""

    def __init__(self, root: Path, wait_s: float, nonce: str | None, *, as_json: bool) -> None:
        self.root = root
        self._wait_s = wait_s
        self._nonce = nonce or new_nonce()
        self._as_json = as_json

    def send(self, client: EngineClient, command: str, what: str = "", **members: Any) -> None:
        """Send a command and print its outcome. Raises EngineError for one that is refused or not done."""
        request = {name: value for name, value in members.items() if value is not None and value is not False}
        request |= {"command": command, "nonce": self._nonce}
        if command != "halt":  # only a halt may go to any engine: it never costs the time of a question
            request["journal"] = client.journal()
        answer = client.command(request, self._wait_s)
        line = outcome_line(f"{command} {what}".rstrip(), answer)
        if self._as_json:
            print_json(answer)
        elif answer.get("state") != "refused":
            click.echo(printable(line))
        if answer.get("state") == "refused":
            raise SafetyRefusal(line)
        if answer.get("state") == "working" and self._wait_s:
            raise NotDone(f"{line}; not done within {self._wait_s:g} s, and it goes on")


def outcome_line(what: str, answer: dict[str, Any]) -> str:
    """Return the seq of the record, the command and its outcome in one line."""
    words = [f"seq {answer['seq']}: {what}: {answer['state']}"]
    reason = ": ".join(str(answer[name]) for name in ("code", "reason") if answer.get(name))
    if reason:
        words.append(reason)
    left = answer.get("left") or []
    if left:
        more = f" and {len(left) - _LEFT_SHOWN} more" if len(left) > _LEFT_SHOWN else ""
        words.append(f"left: {', '.join(' '.join(one) for one in left[:_LEFT_SHOWN])}{more}")
    if answer.get("tries"):
        words.append(f"{answer['tries']} tries")
    if answer.get("repeated"):
        words.append("this nonce was sent before; nothing was done again")
    return "; ".join(words)


def sending(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all have; it receives them as one `Sending`."""

    def run(root: Path, wait_s: float, nonce: str | None, as_json: bool, **others: Any) -> None:
        command(Sending(root, wait_s, nonce, as_json=as_json), **others)

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (
        json_option,
        click.option("--nonce", metavar="TEXT", help="Sent with it; the same one is carried out once."),
        click.option(
            "--wait",
            "wait_s",
            type=Span(),
            default="0s",
            metavar="30s",
            help="Wait so long for the end of what takes time; exit code 8 if it is not done then.",
        ),
        journal_option,
    ):
        run = option(run)
    return run


@click.group("ctl")
def ctl_command() -> None:
    """Act on a running engine: pause, halt, flatten, cancel, order by hand, and more.

    Each command is recorded in the journal and passes the same risk limits as a strategy. It prints the seq
    of its record and what became of it: done, refused (exit code 6), or working. `--wait 30s` waits for the
    end. Where a command needs to know what it is about, nothing is taken as "all": say `all`.

    \b
    engine ctl pause                       no new risk; exits go on
    engine ctl halt                        the kill switch; `engine ctl resume` lifts it
    engine ctl flatten all --wait 30s      close everything, and wait until it is flat
    """


@ctl_command.command("pause")
@click.argument("strategy", required=False, metavar="[STRATEGY|all]")
@sending
def pause_command(sending: Sending, strategy: str | None) -> None:
    """No new risk, of STRATEGY or of all. Exits go on. It lasts until `resume`, also over restarts.

    \b
    engine ctl pause
    engine ctl pause Crossover
    """
    client = EngineClient(sending.root)
    name = "all" if strategy is None else _named(strategy)
    chosen = {"all": True} if name == "all" else {"strategy": name}
    sending.send(client, "pause", name, **chosen)


@ctl_command.command("resume")
@click.argument("name", required=False, metavar="[MARKET|STRATEGY|all]")
@sending
def resume_command(sending: Sending, name: str | None) -> None:
    """End pauses and halts: all of them, or those of one market or strategy.

    \b
    engine ctl resume
    engine ctl resume Crossover
    """
    client = EngineClient(sending.root)
    chosen = {"all": True} if name is None else selected(client, name)
    sending.send(client, "resume", name or "all", **chosen)


@ctl_command.command("halt")
@sending
def halt_command(sending: Sending) -> None:
    """The kill switch: no new risk at once, until `resume`, also over restarts.

    Entries are canceled, protective orders stay, and exits pass. Positions stay: `flatten all` closes them,
    also under a halt. It never asks for confirmation.

    \b
    engine ctl halt
    engine ctl halt && engine ctl flatten all --wait 1m
    """
    sending.send(EngineClient(sending.root), "halt")


@ctl_command.command("flatten")
@click.argument("name", metavar="MARKET|STRATEGY|all")
@sending
def flatten_command(sending: Sending, name: str) -> None:
    """Close the positions of a market, of a strategy, or of all, until flat; then pause what was closed.

    Withdraws targets, cancels entries and closes at the market, again and again until flat. Works under a
    halt.

    \b
    engine ctl flatten BTC --wait 30s
    engine ctl flatten Crossover
    engine ctl flatten all --wait 1m
    """
    client = EngineClient(sending.root)
    sending.send(client, "flatten", name, **selected(client, name))


@ctl_command.command("cancel")
@click.argument("name", metavar="ID|MARKET|STRATEGY|all")
@click.option("--protective", is_flag=True, help="Also the orders that protect positions.")
@sending
def cancel_command(sending: Sending, name: str, protective: bool) -> None:
    """Cancel one order by its id, or all of a market, of a strategy, or of the engine.

    Orders that protect a position stay, unless --protective is given. `engine status` lists the ids.

    \b
    engine ctl cancel 0x0d6dc6f588815d830000000000001361
    engine ctl cancel BTC --wait 10s
    engine ctl cancel all --protective
    """
    client = EngineClient(sending.root)
    chosen = selected(client, name, or_order=True)
    sending.send(client, "cancel", name, protective=protective, **chosen)


@ctl_command.command("order")
@click.argument("market")
@click.argument("side", type=click.Choice(["buy", "sell"]))
@click.argument("size")
@click.option("--quote", is_flag=True, help="SIZE is an amount of money, in the market's quote currency.")
@click.option("--limit", metavar="PRICE", help="No worse than this price. Default: at the market.")
@click.option("--trigger", metavar="PRICE", help="Wait until the market has this price.")
@click.option(
    "--kind",
    type=click.Choice(["sl", "tp"]),
    help="With --trigger: a stop (sl, the default) or a take-profit (tp).",
)
@click.option("--stop-loss", metavar="PRICE", help="Protect the position with a stop at this price.")
@click.option("--take-profit", metavar="PRICE", help="Close the position at this price.")
@click.option("--reduce-only", is_flag=True, help="Only close, never open.")
@click.option("--post-only", is_flag=True, help="With --limit: only as a resting order.")
@click.option("--yes", is_flag=True, help="Do not ask before a real order.")
@sending
def order_command(
    sending: Sending, market: str, side: str, size: str, quote: bool, yes: bool, **terms: Any
) -> None:
    """Order by hand. The position is in the book `manual`, apart from those of the strategies.

    SIZE is in units of the market (0.5), in percent of the equity (5%), or with --quote an amount of money. A
    real order asks for confirmation on a terminal, unless --yes is given.

    \b
    engine ctl order BTC buy 0.01
    engine ctl order BTC buy 5% --limit 95000 --stop-loss 93000 --take-profit 99000
    engine ctl order ETH sell 1000 --quote --reduce-only
    engine ctl order BTC sell 0.01 --trigger 93000 --reduce-only
    """
    if size.endswith(_PERCENT) and quote:
        raise UsageError(f"{size}: a size is in percent or in --quote, not both")
    unit = "percent" if size.endswith(_PERCENT) else "notional" if quote else "size"
    words = [market, side, f"{size} of quote" if quote else size]
    for name, value in terms.items():
        if value:
            words.append(name.replace("_", "-") if value is True else f"{name.replace('_', '-')} {value}")
    what = " ".join(words)
    client = EngineClient(sending.root)
    if not yes and sys.stdin.isatty():
        _confirm(client, what)
    members = {"market": market, "side": side, unit: size.removesuffix(_PERCENT)}
    sending.send(client, "order", what, **members, **terms)


@ctl_command.command("set")
@click.argument("assignment", metavar="STRATEGY.NAME=VALUE")
@sending
def set_command(sending: Sending, assignment: str) -> None:
    """Give a parameter of a running strategy another value.

    It is checked and recorded, and holds over restarts until the configuration changes. A strategy without
    `on_set` refuses.

    \b
    engine ctl set Crossover.fast=5
    """
    key, equals, value = assignment.partition("=")
    strategy, _, name = key.rpartition(".")
    if not equals or not strategy or not name:
        raise UsageError(f"set {assignment!r}: write it as Crossover.fast=5")
    sending.send(EngineClient(sending.root), "set", assignment, strategy=strategy, name=name, value=value)


@ctl_command.command("restart")
@click.argument("strategy")
@sending
def restart_command(sending: Sending, strategy: str) -> None:
    """Let a strategy that failed or was stopped run again. Its state is rebuilt from the day's records.

    \b
    engine ctl restart Crossover
    """
    sending.send(EngineClient(sending.root), "restart", strategy, strategy=strategy)


@ctl_command.command("stop-strategy")
@click.argument("strategy")
@sending
def stop_strategy_command(sending: Sending, strategy: str) -> None:
    """Stop a strategy: it can ask for nothing until `restart`. What it holds stays, with its protection.

    \b
    engine ctl stop-strategy Crossover
    """
    sending.send(EngineClient(sending.root), "stop-strategy", strategy, strategy=strategy)


@ctl_command.command("disarm")
@sending
def disarm_command(sending: Sending) -> None:
    """Send no real order any more, exits included, until the engine is started again.

    \b
    engine ctl disarm
    """
    sending.send(EngineClient(sending.root), "disarm")


@ctl_command.command("stop")
@sending
def stop_command(sending: Sending) -> None:
    """End the session in order, as its configuration says ([risk] on_stop).

    \b
    engine ctl stop
    """
    sending.send(EngineClient(sending.root), "stop")


@ctl_command.command("link")
@click.option(
    "--journal", "root", type=click.Path(path_type=Path), default=Path("journal"), show_default=True
)
@json_option
def link_command(root: Path, as_json: bool) -> None:
    """Print a fresh link to the page. It opens the page once, within an hour.

    \b
    engine ctl link
    """
    link = shaped(EngineClient(root).post("link", {}), _Link).link
    if as_json:
        print_json({"dashboard": link})
    else:
        click.echo(link)


def selected(client: EngineClient, name: str, *, or_order: bool = False) -> dict[str, Any]:
    """Return the selector that a word means: all, a strategy, a market, or the id of an order.

    Raises UsageError for a word that means nothing, or two things.
    """
    if _named(name) == "all":
        return {"all": True}
    running = shaped(client.get("strategies"), _Strategies).strategies
    strategies = [*_BOOKS, *(one.name for one in running)]
    instruments = shaped(client.get("instruments"), _Instruments).instruments
    markets = [one.instrument for one in instruments]
    is_market = name in markets or any(one.key == name for one in instruments)
    if name in strategies and is_market:
        raise UsageError(f"{name} is a market and a strategy; write the market as venue:{name}")
    if name in strategies:
        return {"strategy": name}
    if is_market:
        return {"market": name}
    if or_order:
        return {"order": name}
    raise UsageError(f"{name} is neither a market nor a strategy; {nearest(name, [*markets, *strategies])}")


def _named(name: str) -> str:
    """Return a name. Raises UsageError for an empty one: a variable of a script may be."""
    if not name.strip():
        raise UsageError("the name is empty; give a market or a strategy, or say all")
    return name


def _confirm(client: EngineClient, what: str) -> None:
    """Ask before a real order. Raises SafetyRefusal unless the answer is yes."""
    status = client.get("status")
    if not status.get("armed"):
        return
    where = " ".join(str(status.get(name) or "") for name in ("network", "account_id")).strip()
    click.echo(printable(f"REAL ORDER{f' ({where})' if where else ''}: {what}"), err=True)
    try:
        agreed = click.confirm("send it?", err=True)
    except click.Abort:
        agreed = False
    if not agreed:
        raise SafetyRefusal("nothing was sent")
