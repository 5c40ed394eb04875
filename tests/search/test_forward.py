"""Walk-forward: what is chosen depends on the past alone, and the joined run is one journal that replays."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files import import_files
from engine.clock import DAY_NS, SECOND_NS, day_start_ns
from engine.errors import UsageError
from engine.events import OperatorCommand, OrderFilled, SessionStarted, SubmitOrder, engine_time
from engine.journal import list_days
from engine.pages.frame import is_ours
from engine.records import read_records
from engine.search.folds import Plan, folds_of, parse_plan
from tests.commands.kit import as_json, engine
from tests.pages.kit import Read
from tests.search.kit import HELPER, STRATEGIES

MINUTE = 60 * SECOND_NS
DAY = "2024-03-01"
BEGIN = day_start_ns(DAY)
ROLLING = "train=40m,test=20m,embargo=0"
ANCHORED = "train=40m,test=20m,anchored"

FOLLOWS = '''

class Follows(Strategy):
    """Is long while the price is above its average of so many bars."""

    interval: str = "1m"
    period: int = 3
    size: float = 1.0

    def on_start(self) -> None:
        self.average = PerMarket(Sma, self.period)

    def on_bar(self, bar: Bar) -> None:
        if bar.interval != self.interval:
            return
        mean = self.average[bar.market].update(bar.close)
        if mean is not None:
            self.target(bar.market, str(self.size) if bar.close > mean else "0")


class Box:
    def __init__(self) -> None:
        self.periods = []

    def put(self, period: int) -> None:
        self.periods.append(period)


BOX = Box()


class Shares(Follows):
    """Leaves its parameters in its module, and does not take all of them."""

    slow: int = 20

    def on_start(self) -> None:
        if self.period >= self.slow:
            raise ValueError("period must be under slow")
        BOX.put(self.period)
        self.average = PerMarket(Sma, self.slow)
'''


def same(_at: int, price: int) -> int:
    return price


def project(folder: Path, change: Callable[[int, int], int] = same) -> Path:
    """Write a project with two hours of candles; `change` makes the price of a minute another one."""
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from engine.indicators import Sma\nfrom engine.strategies import PerMarket\n" + STRATEGIES + FOLLOWS
    )
    (folder / "helper.py").write_text(HELPER)
    rows, price, state = ["time,open,high,low,close,volume"], 1000, 7
    for at in range(120):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        close = change(at, price + (state >> 33) % 21 - 10 + (3 if at // 15 % 2 else -2))
        row = (BEGIN // 1_000_000 + at * 60_000, price, max(price, close) + 1, min(price, close) - 1, close)
        rows.append(",".join(map(str, row)) + ",500")
        price = close
    (folder / "AAA-1m-2024-03-01.csv").write_text("\n".join(rows) + "\n")
    file = folder / "AAA-1m-2024-03-01.csv"
    import_files([file], journal=folder / "journal", venue="test", instrument="AAA")
    return folder


def forward(folder: Path, out: str, plan: str, *more: str) -> dict[str, Any]:
    args = ["sweep", "journal", "--strategy", "mine:Follows", "--param", "period=2:5", "--walk-forward", plan]
    span = ["--begin", "2024-03-01", "--end", "2024-03-01T02:00"]
    found: dict[str, Any] = as_json(engine(*args, *span, *more, "--out", out, "--json", cwd=folder))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("forward") / "project")


@pytest.fixture(scope="module")
def rolling(folder: Path) -> dict[str, Any]:
    return forward(folder, "rolling", ROLLING, "--jobs", "2")


@pytest.fixture(scope="module")
def anchored(folder: Path) -> dict[str, Any]:
    return forward(folder, "anchored", ANCHORED)


def records(folder: Path) -> list[Any]:
    return [record for day in list_days(folder / "run") for record in read_records(day.path)]


def test_the_joined_run_replays_and_has_the_reported_digest(folder: Path, rolling: dict[str, Any]) -> None:
    done = as_json(engine("replay", "rolling/run/2024-03-01", "--json", cwd=folder))
    assert (done["verdict"], done["digest"]) == ("identical", rolling["digest"])
    assert json.loads((folder / "rolling" / "forward.json").read_text())["digest"] == rolling["digest"]


def test_the_page_has_every_piece_and_the_verdict(folder: Path, rolling: dict[str, Any]) -> None:
    text = (folder / "rolling" / "forward.html").read_text("utf-8")
    assert is_ours(text)
    read = Read(text)
    for piece in rolling["pieces"]:
        params = ", ".join(f"{name}={value}" for name, value in piece["params"].items())
        assert f"{piece['train_begin']} to {piece['train_end']}" in read.text
        assert (f"{params} (trial {piece['trial']})" if piece["trial"] else piece["why"]) in read.text
    for line in (rolling["verdict"], *rolling["lines"], rolling["digest"]):
        assert line in read.text


def test_a_page_that_cannot_be_written_is_refused_before_the_trials(folder: Path) -> None:
    (folder / "notes.html").write_text("mine")
    args = ["sweep", "journal", "--strategy", "mine:Follows", "--param", "period=2:5", "--out", "none"]
    args += ["--walk-forward", "train=40m,test=20m", "--report", "notes.html"]
    done = engine(*args, cwd=folder)
    assert (done.code, "is not a page of this program" in done.err) == (2, True)
    assert not (folder / "none").exists()


def test_each_piece_trades_what_its_training_found_best(folder: Path, rolling: dict[str, Any]) -> None:
    pieces = rolling["pieces"]
    assert [
        (piece["train_begin"][11:16], piece["begin"][11:16], piece["end"][11:16]) for piece in pieces
    ] == [
        ("00:00", "00:40", "01:00"),
        ("00:20", "01:00", "01:20"),
        ("00:40", "01:20", "01:40"),
        ("01:00", "01:40", "02:00"),
    ]
    (started,) = [event for _, _, event in records(folder / "rolling") if isinstance(event, SessionStarted)]
    config = json.loads(started.config)
    for piece, entry in zip(pieces, config["strategies"], strict=True):
        lines = (
            (folder / "rolling" / f"train-{piece['number']:03d}" / "trials.jsonl").read_text().splitlines()
        )
        best = max(map(json.loads, lines), key=lambda one: one["metrics"]["return_percent"])
        assert piece["params"] == best["params"]
        assert entry["params"]["period"] == best["params"]["period"]


def test_at_a_seam_positions_are_closed_at_the_last_price_with_costs(
    folder: Path, rolling: dict[str, Any]
) -> None:
    """And each strategy trades in its window only."""
    found = records(folder / "rolling")
    (started,) = [event for _, _, event in found if isinstance(event, SessionStarted)]
    closes = {
        BEGIN + (at + 1) * MINUTE: int(line.split(",")[4])
        for at, line in enumerate((folder / "AAA-1m-2024-03-01.csv").read_text().splitlines()[1:])
    }
    windows = {name: (begin, end) for name, _, begin, end in started.windows}
    orders = {event.client_order_id: event for _, _, event in found if isinstance(event, SubmitOrder)}
    for order in orders.values():
        begin, end = windows[order.strategy]
        assert begin <= order.at_ns <= end
        assert order.at_ns < end or order.terms.purpose == "flatten"
    held = dict.fromkeys(windows, 0)
    seams = 0
    for _, _, event in found:
        if isinstance(event, OrderFilled):
            order = orders[event.client_order_id]
            held[order.strategy] += event.side * event.size
            if order.terms.purpose == "flatten":
                seams += 1
                close = closes[windows[order.strategy][1]]
                worse = close * (10_000 + event.side) / 10_000
                assert event.price / 10 ** (event.finer + _scale(found)) == pytest.approx(worse, rel=1e-9)
                assert int(event.fee) > 0
                assert engine_time(event) == windows[order.strategy][1]
    assert seams
    assert set(held.values()) == {0}
    commands = [event for _, _, event in found if isinstance(event, OperatorCommand)]
    wanted = [(command, name) for name in windows for command in ("pause", "flatten")]
    assert [(one.command, one.target) for one in commands] == wanted


def _scale(found: list[Any]) -> int:
    return next(event.price_scale for _, _, event in found if type(event).__name__ == "InstrumentListed")


@pytest.mark.parametrize(("name", "plan"), [("rolling", ROLLING), ("anchored", ANCHORED)])
def test_nothing_after_a_training_can_change_what_it_chose(
    folder: Path, tmp_path: Path, name: str, plan: str, request: pytest.FixtureRequest
) -> None:
    """Other prices from 01:00 on: the trainings that end by then have the same bytes."""
    other = project(tmp_path / "project", lambda at, price: price if at < 60 else 2000 - 3 * at)
    before, after = request.getfixturevalue(name), forward(other, name, plan)
    for number in (1, 2):
        file = f"{name}/train-{number:03d}/trials.jsonl"
        assert (folder / file).read_bytes() == (other / file).read_bytes()
        chosen = [found["pieces"][number - 1] for found in (before, after)]
        assert [(one["trial"], one["params"], one["begin"]) for one in chosen[:1]] == [
            (one["trial"], one["params"], one["begin"]) for one in chosen[1:]
        ]
    last = f"{name}/train-004/trials.jsonl"
    assert (folder / last).read_bytes() != (other / last).read_bytes()


def test_the_embargo_is_the_warm_up_and_the_longest_holding(folder: Path, anchored: dict[str, Any]) -> None:
    found = anchored
    assert found["warmup_s"] == 5 * 60, "five bars, the longest average that is tried"
    traded = [piece for piece in found["pieces"] if piece["trial"]]
    assert traded
    assert all("leaves nothing of the test" in one["why"] for one in found["pieces"] if not one["trial"])
    for piece in traded:
        file = folder / "anchored" / f"train-{piece['number']:03d}" / "trials.jsonl"
        trial = json.loads(file.read_text().splitlines()[piece["trial"] - 1])
        assert trial["longest_ns"] > 0
        assert piece["embargo_s"] == 300 + trial["longest_ns"] / SECOND_NS
    first, _, _, last = forward(folder, "long", "train=40m,test=20m,embargo=19m")["pieces"]
    assert (first["begin"], last["end"]) == ("2024-03-01T00:59:00", "2024-03-01T02:00:00")


def test_what_was_interrupted_gives_the_same(folder: Path, rolling: dict[str, Any]) -> None:
    for name in ("train-003", "run"):
        (folder / "rolling" / name).rename(folder / f"gone-{name}")
    assert forward(folder, "rolling", ROLLING, "--jobs", "1") == rolling


def test_parameters_that_a_strategy_refuses_and_state_outside_of_it(
    folder: Path, rolling: dict[str, Any]
) -> None:
    """A corner of the values that is refused fails its trials alone; what modules share is told."""
    args = ["sweep", "journal", "--strategy", "mine:Shares", "--param", "period=2,6", "--param", "slow=4,9,5"]
    args += ["--begin", "2024-03-01", "--end", "2024-03-01T02:00", "--out", "shares", "--json"]
    found = as_json(engine(*args, "--walk-forward", "train=60m,test=30m,embargo=0", cwd=folder))
    assert found["warmup_s"] == 9 * 60, "the largest value need not be the last"
    trials = (folder / "shares" / "train-001" / "trials.jsonl").read_text().splitlines()
    failed = [trial["params"] for trial in map(json.loads, trials) if trial["state"] == "failed"]
    assert failed == [{"period": 6, "slow": 4}, {"period": 6, "slow": 5}]
    assert found["verdict"] == "cannot be judged"
    assert found["lines"][0].startswith("mine.BOX: changed and is shared by the pieces")
    assert not any("shared by the pieces" in line for line in rolling["lines"])


@given(
    st.integers(1, 50),
    st.integers(1, 20),
    st.booleans(),
    st.integers(51, 400).map(lambda days: days * DAY_NS),
)
def test_the_tests_cover_the_time_after_the_first_training_once(
    train: int, test: int, anchored: bool, length: int
) -> None:
    plan = Plan(train * DAY_NS, test * DAY_NS, anchored)
    folds = folds_of(plan, BEGIN, BEGIN + length)
    assert folds[0].until_ns == BEGIN + train * DAY_NS
    assert folds[-1].end_ns == BEGIN + length
    for one, after in itertools.pairwise(folds):
        assert one.end_ns == after.until_ns
    assert all(one.train_ns == (BEGIN if anchored else one.until_ns - plan.train_ns) for one in folds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train=30d", "say how long to test"),
        ("train=30d,test=7d,purge=3d", "'purge=3d' is not understood"),
        ("train=30,test=7d", "'30' is not a span of time"),
        ("train=30d,train=3d,test=7d", "'train=3d' is not understood"),
    ],
)
def test_a_plan_that_is_not_understood_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_plan(text)


def test_data_that_is_no_longer_than_a_training_is_refused(folder: Path) -> None:
    args = ["sweep", "journal", "--strategy", "mine:Follows", "--param", "period=2:5", "--out", "short"]
    done = engine(*args, "--walk-forward", "train=30d,test=7d", cwd=folder)
    assert done.code == 2
    assert "is not longer than one training" in done.err
