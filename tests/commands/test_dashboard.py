"""`engine dashboard DAY...` in a process of its own: what it serves, what it refuses, how it ends."""

from __future__ import annotations

import json
import shutil
import signal
import time
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

from engine.events import FillBooked
from engine.records import read_records
from tests.commands.kit import PATIENCE_S, SAMPLE, engine, start
from tests.commands.test_damage import better_fill, rewritten


class Browser:
    """Asks as the page does."""

    def __init__(self, link: str) -> None:
        self.base, _, self.token = link.partition("/?token=")
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        headers = {}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", "X-Retape": "page", "Origin": self.base}
        request = urllib.request.Request(self.base + path, data, headers)
        try:
            with self.opener.open(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


def test_a_recorded_day_is_served_at_any_moment_and_takes_no_command() -> None:
    process = start("dashboard", SAMPLE, "--bind", "127.0.0.1:0", "--json")
    try:
        assert process.stdout is not None
        browser = Browser(json.loads(process.stdout.readline())["dashboard"])
        assert browser.ask("/api/status")[0] == 401
        assert browser.ask("/api/login", {"token": browser.token})[0] == 200
        fill = next(seq for seq, _, event in read_records(SAMPLE) if isinstance(event, FillBooked))
        before = browser.ask(f"/api/fills?at={fill - 1}")[1]
        after = browser.ask(f"/api/fills?at={fill}")[1]
        assert (before["fills"], [one["seq"] for one in after["fills"]]) == ([], [fill])
        assert after["seq"] == fill
        status = browser.ask(f"/api/status?at={fill}")[1]
        assert (status["recorded"], status["read_only"], status["fills_today"]) == (True, True, 1)
        marks = browser.ask("/api/marks")[1]
        assert fill in [one["seq"] for one in marks["marks"] if one["kind"] == "fill"]
        at_ms = next(one["at_ms"] for one in marks["marks"] if one["seq"] == fill)
        assert browser.ask(f"/api/status?at_ms={at_ms}")[1]["fills_today"] == 1
        why = browser.ask(f"/api/why/{fill}")[1]
        assert why["chain"][-1]["seq"] == fill
        assert browser.ask("/api/status?at=0")[0] == 400
        assert browser.ask("/api/status?at=1&at=2")[0] == 400
        command = {"command": "halt", "nonce": "one", "journal": status["journal"]}
        assert browser.ask("/api/commands", command) == (403, browser.ask("/api/commands", command)[1])
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("forges", [True, False])
def test_verify_replays_the_days_and_marks_where_one_diverges(
    traded: Path, tmp_path: Path, forges: bool
) -> None:
    day = rewritten(traded, tmp_path / "day", better_fill) if forges else traded
    divergence = json.loads(engine("replay", day, "--json").out)["divergence"]
    with (tmp_path / "errors").open("w+") as errors:
        process = start("dashboard", day, "--bind", "127.0.0.1:0", "--verify", "--json", stderr=errors)
        try:
            assert process.stdout is not None
            browser = Browser(json.loads(process.stdout.readline())["dashboard"])
            assert browser.ask("/api/login", {"token": browser.token})[0] == 200
            deadline = time.monotonic() + PATIENCE_S
            while not (said := (tmp_path / "errors").read_text()) and time.monotonic() < deadline:
                time.sleep(0.05)
            found = [one for one in browser.ask("/api/marks")[1]["marks"] if one["kind"] == "divergence"]
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)
    if forges:
        assert f"{day.name}: diverges at seq {divergence['seq']}: " in said
        assert [one["seq"] for one in found] == [divergence["seq"]]
    else:
        assert (said, found, divergence) == (f"{day.name}: identical\n", [], None)


def test_a_damaged_day_is_not_shown(tmp_path: Path) -> None:
    day = tmp_path / "2024-12-05"
    shutil.copytree(SAMPLE, day)
    (segment,) = day.glob("*.seg.zst")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    done = engine("dashboard", day, "--bind", "127.0.0.1:0")
    assert done.code == 4
    assert len(done.err.strip().splitlines()) <= 2
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        ((), "Missing argument", 2),
        (("nothing",), "there is no such day", 2),
        ((SAMPLE, "--bind", "nonsense"), "", 2),
        ((SAMPLE, "--bind", "0.0.0.0:0"), "password", 6),
    ],
)
def test_what_cannot_be_served_is_an_error(
    arguments: tuple[object, ...], words: str, code: int, tmp_path: Path
) -> None:
    done = engine("dashboard", *arguments, cwd=tmp_path)
    assert done.code == code, done.err
    assert words in done.err
    assert len(done.err.strip().splitlines()) <= 4
