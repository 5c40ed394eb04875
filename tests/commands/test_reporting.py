"""The line each minute and the live view: from the server's answers, and nothing while it has none."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import trio

from engine.api.problems import Problem
from engine.commands.reporting import ReportingServer
from engine.events.codec import Record
from engine.runtime.committer import Committed
from engine.runtime.notices import Notice
from tests.commands.situations import situation


class Recorded:
    """Stands in for a speaker."""

    def __init__(self, *, has_view: bool) -> None:
        self.has_view = has_view
        self.lines: list[Notice] = []
        self.pictures: list[object] = []

    def __call__(self, notice: Notice) -> None:
        self.lines.append(notice)

    def show(self, picture: object) -> None:
        self.pictures.append(picture)


class Server:
    """Answers after its first ten seconds, and ends after `ends_s`."""

    def __init__(self, ends_s: float) -> None:
        self.began = trio.current_time()
        self.ends_s = ends_s
        self.answers = situation()

    def passing(self, records: Iterator[Record]) -> Iterator[Record]:
        return records

    def take(self, committed: Committed) -> None:
        pass

    async def run(self) -> None:
        await trio.sleep(self.ends_s)

    async def answer(self, name: str) -> msgspec.Struct:
        await trio.lowlevel.checkpoint()
        if trio.current_time() - self.began < 10:
            raise Problem("starting", "wait")
        found: msgspec.Struct = getattr(self.answers, name)
        return found


@pytest.mark.parametrize("has_view", [False, True])
async def test_a_minute_has_one_line_and_a_second_one_picture(
    autojump_clock: trio.testing.MockClock, has_view: bool
) -> None:
    speaker = Recorded(has_view=has_view)
    await ReportingServer(Server(180.5), speaker).run()  # type: ignore[arg-type]
    assert [one.state for one in speaker.lines] == ["status"] * len(speaker.lines)
    assert 2 <= len(speaker.lines) <= 3
    assert speaker.lines[0].text.startswith(
        "engine: status: equity 10,012.50 USDC, +12.50 today; positions BTC"
    )
    fields = speaker.lines[0].fields
    assert (fields["equity"], fields["positions"], fields["newest_price_age_ms"]) == ("10012.5", "1", "200")
    assert (len(speaker.pictures) > 150) == has_view
