"""`engine mirror push|pull`: sends a journal to a stream of a broker, and makes it again from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import trio

from engine.commands.output import json_option, print_json, progress
from engine.config import Config
from engine.errors import ConfigError, UsageError
from engine.events.codec import Record
from engine.journal import belongs, list_days, list_segments, read_identity
from engine.mirror.broker import Broker
from engine.mirror.errors import MirrorUnavailable
from engine.mirror.kafka import KafkaBroker
from engine.mirror.nats import NatsBroker
from engine.mirror.pulling import pull
from engine.mirror.pushing import Mirror
from engine.records import day_folders
from engine.runtime.plan import MakeProjector
from engine.runtime.projector import Projector
from engine.stores.store import Store

__all__ = ["broker_at", "check_mirror", "days_of_journal", "make_mirror", "mirror_command"]

MIRROR: Final = "mirror"
"""The name of a session's mirror: in its status, and in the records of what fails."""
POLL_S: Final = 0.25
RETRY_MAX_S: Final = 30.0


@click.group("mirror")
def mirror_command() -> None:
    """Copy a journal to a stream of NATS or a topic of Kafka, and make it again from there."""


@mirror_command.command("push")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to", "url", required=True, metavar="URL", help="nats://HOST:4222/STREAM, kafka://HOST:9092/TOPIC"
)
@click.option("--events", is_flag=True, help="Also every record as JSON, in the stream STREAM-events.")
@click.option("--follow", is_flag=True, help="Go on as the journal grows; DAYS is the journal's folder.")
@json_option
def push_command(days: tuple[Path, ...], url: str, events: bool, follow: bool, as_json: bool) -> None:
    """Send what the stream lacks of DAYS (in order, or of a whole journal), from where the stream ends.

    The stream is made if there is none. With --follow the command runs until it is stopped, also while the
    broker is down, and beside a session that writes the journal.
    """
    folders = _follow_days(days) if follow else _given_days(days)
    mirror = Mirror(broker_at(url), folders, events=events)
    try:
        if follow:
            _follow(mirror)
        with progress("seq") as report:
            seq = mirror.push(progress=report)
        mirror.check_end()
    finally:
        mirror.close()
    if as_json:
        print_json({"stream": mirror.broker.place, "seq": seq})
    else:
        click.echo(f"{mirror.broker.place}: holds the journal up to seq {seq}")


@mirror_command.command("pull")
@click.argument("url")
@click.option(
    "--journal", required=True, type=click.Path(path_type=Path), help="A new folder, or a pulled one."
)
@json_option
def pull_command(url: str, journal: Path, as_json: bool) -> None:
    """Make the journal in the stream at URL (as `push` takes it) again, byte for byte.

    A folder that an earlier pull has made is continued.
    """
    broker = broker_at(url)
    try:
        with progress("seq") as report:
            done = pull(broker, journal, progress=report)
    finally:
        broker.close()
    if as_json:
        print_json(
            {
                "journal": str(journal),
                "id": done.journal_id.hex(),
                "first_seq": done.begins,
                "seq": done.seq,
                "digest": done.digest.hex(),
                "frames": done.frames,
            }
        )
        return
    click.echo(
        f"{journal}: {done.frames} frames pulled, up to seq {done.seq} (digest {done.digest.hex()[:16]})"
    )
    if done.begins > 1:
        click.echo(f"{journal}: the stream begins at seq {done.begins}")
    if done.partial:
        click.echo(f"{journal}: the stream ends within the frame behind it, which is left out")


def broker_at(url: str) -> Broker:
    """Return the broker of an address, without any I/O. Raises ConfigError, UsageError."""
    return KafkaBroker(url) if url.startswith(("kafka:", "kafka+")) else NatsBroker(url)


def days_of_journal(root: Path) -> Callable[[], Sequence[Path]]:
    """Return a function that lists the days of the journal in `root`, without those of other journals."""
    known: dict[Path, bool] = {}

    def days() -> list[Path]:
        own = read_identity(root) if root.is_dir() else None
        if own is None:
            return []
        for day in list_days(root):
            if day.path not in known and list_segments(day.path):
                known[day.path] = belongs(day.path, own)
        return [path for path, is_own in sorted(known.items()) if is_own]

    return days


def check_mirror(config: Config, stores: Mapping[str, Store]) -> None:
    """Check the section `[mirror]` of a session, without any I/O. Raises ConfigError, UsageError."""
    if config.mirror.url:
        if MIRROR in stores:
            raise ConfigError(f"stores.name: {MIRROR!r} is the name of the mirror; give this store another")
        broker_at(config.mirror.url)


def make_mirror(root: Path, config: Config) -> dict[str, MakeProjector]:
    """Return a factory of the projector that mirrors a session's journal, by name; none without a mirror."""
    if not config.mirror.url:
        return {}

    def make(_: bytes, durable_seq: int) -> Projector:
        broker = broker_at(config.mirror.url)
        writer = _Copies(Mirror(broker, days_of_journal(root), events=config.mirror.events))
        return Projector(writer, writer.push, durable_seq)

    return {MIRROR: make}


class _Copies:
    """A mirror as the writer of a projector: what is committed is read from the journal and sent."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    @property
    def seq(self) -> int:
        """Seq of the last record that the stream holds."""
        return self._mirror.seq

    def apply(self, records: list[Record], *, seq: int, digest: bytes) -> int:
        """Send the frames up to `seq`."""
        return self.push(seq)

    def push(self, until_seq: int) -> int:
        """Send the frames up to `until_seq`. Ends between two batches when the session stops."""
        return self._mirror.push(until_seq, progress=lambda _: trio.from_thread.check_cancelled())

    def close(self) -> None:
        """Close the connection."""
        self._mirror.close()


def _given_days(paths: tuple[Path, ...]) -> Callable[[], Sequence[Path]]:
    folders: list[Path] = []
    for path in paths:
        folders += days_of_journal(path)() if read_identity(path) is not None else day_folders((path,))
    return lambda: folders


def _follow_days(paths: tuple[Path, ...]) -> Callable[[], Sequence[Path]]:
    if len(paths) != 1 or not paths[0].is_dir() or list_segments(paths[0]):
        raise UsageError("--follow needs the folder of one journal, such as journal")
    return days_of_journal(paths[0])


def _follow(mirror: Mirror) -> None:
    """Send what is new until the process is stopped. Reports on stderr when the broker is down or back."""
    wait = 0.0
    while True:
        try:
            seq = mirror.push()
        except MirrorUnavailable as error:
            if not wait:
                click.echo(f"engine: {error}", err=True)
            wait = min(max(1.0, 2 * wait), RETRY_MAX_S)
        else:
            if wait:
                click.echo(f"engine: {mirror.broker.place}: in reach again, up to seq {seq}", err=True)
            wait = 0.0
        time.sleep(wait or POLL_S)
