"""`engine status`: what the screen shows, at any width, in a pipe, as JSON, and refreshed in place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.text import Text

from engine.commands import status as status_module
from engine.commands.screen import rendered
from engine.commands.situation import PARTS, one_line, screen, span_text
from engine.operator.words import asked_words
from engine.views.shapes import HaltRow
from tests.commands.fake_engine import FakeEngine, fake_engine
from tests.commands.kit import engine
from tests.commands.situations import COMMAND, HALT, POSITION, situation
from tests.profiles import examples


def plain(picture: object, width: int = 200) -> str:
    return "\n".join(rendered(picture, width, colors=False))  # type: ignore[arg-type]


def test_the_screen_has_everything_a_person_asks_for() -> None:
    shown = re.sub(" +", " ", plain(screen(situation(halts=[HALT], refusals_today=2, gaps_today=1))))
    for line in (
        " PAPER: no order is real",
        "HALTED market ETH: adl, for 1m 0s",
        "session 5e55, up 2h 5m",
        "journal last sync 5 ms ago",
        "\nequity 10,012.50 USDC, +12.50 today",
        "drawdown 87.50 (0.87%) from 10,100.00",
        "prices feeds 1 of 1 up, newest price 0.2s old",
        "today 3 fills, 2 refusals, 1 gaps today",
        "lag 4 ms; latency p50 1 ms",
        "BTC Cross 0.5 97000 97010 5.00 stop 0.5 at 96000 (venue)",
        "ETH manual buy limit 2 3500 1.25% New 0x7",
        "hyperliquid up 0.4s",
        "Cross running 3.00 5.00 0 0",
        "70 5.0s pause socket:0 done",
    ):
        assert line in shown


@pytest.mark.parametrize(
    ("command", "target", "arguments", "words"),
    [
        ("flatten", "", {"all": "true"}, "flatten all"),
        ("cancel", "ETH", {"market": "ETH", "protective": "true"}, "cancel ETH protective"),
        (
            "order",
            "BTC",
            {"limit": "9", "market": "BTC", "percent": "5", "side": "buy"},
            "order BTC buy 5% limit 9",
        ),
        ("set", "Cross", {"name": "fast", "strategy": "Cross", "value": "5"}, "set Cross.fast=5"),
        (
            "set",
            "Cross",
            {"name": "names", "strategy": "Cross", "value": "a, size 3"},
            "set Cross.names=a, size 3",
        ),
        ("stop", "", {}, "stop"),
    ],
)
def test_a_command_is_shown_in_the_words_it_was_given_in(
    command: str, target: str, arguments: dict[str, str], words: str
) -> None:
    detail = asked_words(command, target, list(arguments.items()))
    row = replace(COMMAND, command=command, target=target, arguments=arguments, detail=detail)
    shown = re.sub(" +", " ", plain(screen(situation(commands=[row]))))
    assert f"5.0s {words} socket:0 done" in shown


@pytest.mark.parametrize("width", [20, 60, 120])
def test_armed_is_unmistakable_also_without_colours(width: int) -> None:
    armed = situation(armed=True, mode="live", network="mainnet", account_id="0xabc")
    assert plain(screen(armed), width).startswith(" ARMED: ORDERS")
    assert "\x1b[1;37;41m" in "\n".join(rendered(screen(armed), width))
    assert "ARMED" not in plain(screen(situation(mode="live")))
    assert "not armed" in plain(screen(situation(mode="live")))


def test_a_position_that_nothing_protects_says_so() -> None:
    found = situation()
    bare = replace(POSITION, protected_by=[], unprotected="0.5")
    found.positions.positions = [bare, replace(POSITION, unprotected="0.2")]
    shown = plain(screen(found))
    assert "NOTHING" in shown
    assert "(venue); 0.2 by nothing" in shown


@examples(0.5)
@given(st.text(max_size=20), st.integers(20, 150))
def test_whatever_a_venue_sends_stays_within_the_width_and_moves_no_cursor(text: str, width: int) -> None:
    found = situation(halts=[HaltRow("market", text, text, 0, 0)], session=text)
    found.positions.positions = [replace(POSITION, instrument=text, owner=text)]
    for compact in (False, True):
        for line in rendered(screen(found, compact=compact), width, colors=False):
            assert line.isprintable()
            assert Text(line).cell_len <= width
    assert one_line(found).split("; ")[0].startswith("equity 10,012.50")


def test_the_live_view_has_the_first_rows_of_each_table() -> None:
    found = situation()
    found.positions.positions = [POSITION] * 50
    lines = plain(screen(found, compact=True)).splitlines()
    assert len(lines) < 20
    assert any("positions (50, the first 5)" in line for line in lines)


def test_the_line_of_a_minute_says_what_matters() -> None:
    line = one_line(situation(halts=[HaltRow("pause", "", "", 0, 0)]))
    assert line == (
        "equity 10,012.50 USDC, +12.50 today; positions BTC Cross 0.5; orders 1 working, 3 fills today; "
        "feeds 1 of 1 up, newest price 0.2s old; lag 4 ms; latency p50 1 ms; "
        "paused all strategies, by an operator"
    )


def test_a_narrow_terminal_shows_the_left_part_of_each_table() -> None:
    lines = plain(screen(situation()), 40).splitlines()
    assert any(re.match(r"BTC +Cross +0.5 +97000 +97010", line) for line in lines)


def test_an_order_that_takes_a_profit_says_so() -> None:
    found = situation()
    (order,) = found.orders.working
    order.kind, order.trigger = "market stop", "tp"
    assert "market take-profit" in plain(screen(found))


@pytest.mark.parametrize(
    ("day_profit", "shown"),
    [
        ("-0.004", "-0.004 today"),
        ("0", "+0.00 today"),
        ("0.645", "+0.65 today"),
        ("-1234567.125", "-1,234,567.13 today"),
        ("9" * 60 + ".5", "999.50 today"),
        (None, "USDC"),
    ],
)
def test_money_is_rounded_for_people(day_profit: str | None, shown: str) -> None:
    found = situation()
    found.status.account.day_profit = day_profit
    assert one_line(found).split("; ")[0].endswith(shown)


def test_spans_are_short() -> None:
    spans = [(400, "0.4s"), (61_000, "1m 1s"), (7_500_000, "2h 5m"), (200_000_000, "2d 7h")]
    assert [span_text(one) for one, _ in spans] == [text for _, text in spans]


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    monkeypatch.chdir(tmp_path)
    with fake_engine(tmp_path / "journal") as found:
        found.answers |= {name: msgspec.to_builtins(getattr(situation(), name)) for name in PARTS}
        yield found


def test_status_asks_the_engine_and_prints_plain_text_in_a_pipe(running: FakeEngine) -> None:
    done = engine("status")
    assert done.code == 0
    assert done.out == plain(screen(situation())) + "\n"
    assert running.asked == [f"GET {name}" for name in PARTS]


def test_json_has_the_answers_as_they_are(running: FakeEngine) -> None:
    running.answers["status"]["a member of a later version"] = 1
    assert json.loads(engine("status", "--json").out) == {name: running.answers[name] for name in PARTS}
    assert engine("status").code == 0


def test_watch_shows_it_again_until_the_engine_ends(
    running: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "WATCH_S", 0)

    def end_after_three(method: str, path: str, body: bytes) -> tuple[int, object]:
        name = path.removeprefix("/api/")
        running.asked.append(name)
        return (503, {}) if running.asked.count("status") > 3 else (200, running.answers[name])

    monkeypatch.setattr(running, "reply", end_after_three)
    done = engine("status", "--watch")
    assert (done.code, done.out.count("PAPER")) == (5, 3)
