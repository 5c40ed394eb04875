"""The mirror of a session: it lags, fails and catches up, and the session does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.commands import mirror as commands
from engine.config import parse_config
from engine.errors import ConfigError
from engine.mirror.errors import MirrorUnavailable
from engine.mirror.messages import FRAMES
from engine.mirror.pulling import pull
from engine.runtime.committer import Committed
from engine.runtime.projector import Projector
from tests.commands.kit import engine
from tests.mirror.kit import Grown, MemoryBroker, contents, sample_frames

FRAMES_OF_SAMPLE = sample_frames(40)


class Session:
    """A journal whose commits are given to the projector of its mirror."""

    def __init__(self, journal: Grown, projector: Projector) -> None:
        self.journal = journal
        self.projector = projector

    def commit(self, count: int) -> None:
        """Append frames, and report them as the committer does."""
        for frame in self.journal.frames[self.journal.written : self.journal.written + count]:
            self.journal.grow(1)
            events = [None] * frame.count
            self.projector.take(Committed("", frame.first_seq, events, [], frame.digest))  # type: ignore[arg-type]


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def session(tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(commands, "broker_at", lambda _: broker)
    config = parse_config({"mirror": {"url": "nats://127.0.0.1/market"}})
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    (make,) = commands.make_mirror(journal.root, config).values()
    projector = make(b"0123456789abcdef", 0)
    yield Session(journal, projector)
    projector.close()


async def test_what_is_committed_is_in_the_stream(
    session: Session, broker: MemoryBroker, tmp_path: Path
) -> None:
    for count in (0, 5, 1, 10, 24):
        session.commit(count)
        await session.projector.flush()
        assert str(session.projector) == "up to date"
    assert len(broker.streams[FRAMES]) == len(FRAMES_OF_SAMPLE)
    pull(broker, tmp_path / "p")
    assert contents(tmp_path / "p") == contents(session.journal.root)


async def test_while_the_broker_is_down_the_journal_waits_and_the_lag_is_shown(
    session: Session, broker: MemoryBroker
) -> None:
    session.commit(5)
    await session.projector.flush()
    broker.before = lambda: True
    session.commit(10)
    for _ in range(3):
        with pytest.raises(MirrorUnavailable):
            await session.projector.flush()
    missing = FRAMES_OF_SAMPLE[14].last_seq - FRAMES_OF_SAMPLE[4].last_seq
    assert str(session.projector) == f"{missing:,} records behind"
    broker.before = lambda: False
    await session.projector.flush()
    assert str(session.projector) == "up to date"
    assert len(broker.streams[FRAMES]) == 15


async def test_only_what_is_durable_is_sent(session: Session, broker: MemoryBroker) -> None:
    session.commit(5)
    session.journal.grow(3)  # written, not reported as durable yet
    await session.projector.flush()
    assert len(broker.streams[FRAMES]) == 5
    for frame in FRAMES_OF_SAMPLE[5:8]:
        session.projector.take(Committed("", frame.first_seq, [None] * frame.count, [], b""))  # type: ignore[list-item]
    await session.projector.flush()
    assert len(broker.streams[FRAMES]) == 8


async def test_a_session_that_stops_does_not_wait_for_a_long_backlog(
    session: Session, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.mirror.pushing.BATCH_MESSAGES", 1)
    session.commit(40)
    scope = trio.CancelScope()
    broker.after = lambda: len(broker.streams[FRAMES]) == 7 and stop()

    def stop() -> bool:
        trio.from_thread.run_sync(scope.cancel)
        return False

    with scope:
        await session.projector.flush()
    assert scope.cancelled_caught
    assert len(broker.streams[FRAMES]) == 7
    broker.after = lambda: False
    await session.projector.flush()
    assert len(broker.streams[FRAMES]) == 40


def test_a_wrong_address_is_refused_before_the_session_begins(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[mirror]\nurl = "mqtt://127.0.0.1/market"\n')
    done = engine("live", "--config", tmp_path / "c.toml", "--journal", tmp_path / "j")
    assert done.code == 2
    assert "begin with nats://" in done.err
    config = parse_config({"mirror": {"url": "nats://127.0.0.1/market"}})
    with pytest.raises(ConfigError, match="the name of the mirror"):
        commands.check_mirror(config, {"mirror": None})  # type: ignore[dict-item]
