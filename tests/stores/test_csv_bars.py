"""Bars as CSV files that grow: each bar once, whole lines, over kills and restarts."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.events import BarClosed, BarCorrected, InstrumentListed
from engine.events.codec import Record
from engine.stores.csv_bars import CsvStore
from engine.stores.errors import StoreOutOfStep, StoreUnavailable
from engine.stores.writer import StoreWriter
from tests.profiles import examples

from .record_streams import digest_at

T = 1_733_400_000_000_000_000
MINUTE_NS = 60_000_000_000
JOURNAL = bytes(range(16))


def listing(number: int = 1, name: str = "BTC", venue: str = "sim") -> InstrumentListed:
    return InstrumentListed(T, number, venue, name, 2, 3)


def bar(minute: int, close: int = 150, revision: int = 0, instrument: int = 1) -> BarClosed:
    kind = BarCorrected if revision else BarClosed
    start = T + minute * MINUTE_NS
    return kind(
        T,
        instrument,
        MINUTE_NS,
        start,
        100,
        200,
        50,
        close,
        1500,
        3,
        "timer",
        revision,
        quote_volume=5,
        buy_volume=1,
        sell_volume=2,
    )


def opened(folder: Path, journal_id: bytes = JOURNAL) -> StoreWriter:
    return StoreWriter(CsvStore(folder), journal_id).__enter__()


def apply(writer: StoreWriter, records: list[Record]) -> None:
    writer.apply(records, seq=records[-1][0], digest=digest_at(records[-1][0]))


def written(folder: Path, records: list[Record]) -> None:
    """A process that lives for one batch."""
    writer = opened(folder)
    apply(writer, records)
    writer.close()


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_is_a_closed_bar_exactly_and_corrections_are_beside(tmp_path: Path) -> None:
    bars = [(2, 1, bar(0)), (3, 1, bar(1, 151)), (4, 1, bar(0, 152, revision=1))]
    written(tmp_path, [(1, 0, listing()), *bars])
    first, second = read(tmp_path / "BTC-1m.csv")
    assert (first["start"], first["close"], first["volume"]) == (
        "2024-12-05T12:00:00.000000000Z",
        "1.5",
        "1.5",
    )
    assert (second["close"], second["complete"], second["seq"]) == ("1.51", "True", "3")
    (corrected,) = read(tmp_path / "BTC-1m.corrections.csv")
    assert (corrected["start_ns"], corrected["close"], corrected["revision"]) == (str(T), "1.52", "1")


@examples(0.4)
@given(
    st.lists(st.tuples(st.integers(1, 2), st.booleans()), min_size=1, max_size=20),
    st.lists(st.integers(0, 21), max_size=6),
    st.integers(0, 400),
)
def test_c01_whatever_is_repeated_or_torn_each_bar_is_there_once(
    tmp_path_factory: pytest.TempPathFactory,
    plan: list[tuple[int, bool]],
    restarts: list[int],
    torn: int,
) -> None:
    """Batches come again from anywhere, as after kills; in between the end of a file is torn off."""
    folder = tmp_path_factory.mktemp("csv")
    head: list[Record] = [(1, 0, listing()), (2, 0, listing(2, "ETH"))]
    bars: list[Record] = [
        (seq, 1, bar(seq, revision=int(again), instrument=instrument))
        for seq, (instrument, again) in enumerate(plan, 3)
    ]
    written(folder, [*head, *bars[: len(bars) // 2 + 1]])
    for path in sorted(folder.glob("*.csv")):
        data = path.read_bytes()
        path.write_bytes(data[: max(0, len(data) - torn)])
    # Where a line was torn the cursor had not moved yet.
    (folder / ".cursor.json").unlink()
    for begin in restarts:
        written(folder, [*head, *bars[:begin]])
    written(folder, [*head, *bars])
    found = sorted(int(row["seq"]) for path in folder.glob("*.csv") for row in read(path))
    assert found == [seq for seq, _, _ in bars]


def test_after_a_file_was_deleted_the_journal_is_read_again(tmp_path: Path) -> None:
    records: list[Record] = [(1, 0, listing()), (2, 1, bar(0))]
    written(tmp_path, records)
    again = opened(tmp_path)
    assert again.seq == 2
    again.close()
    (tmp_path / "BTC-1m.csv").unlink()
    reopened = opened(tmp_path)
    assert reopened.seq == 0
    reopened.close()
    written(tmp_path, records)
    assert len(read(tmp_path / "BTC-1m.csv")) == 1


def test_c12_two_writers_and_two_journals_are_refused(tmp_path: Path) -> None:
    one = opened(tmp_path)
    with pytest.raises(StoreUnavailable, match="already has a writer"):
        opened(tmp_path)
    apply(one, [(1, 0, listing())])
    one.close()
    with pytest.raises(StoreOutOfStep, match="another journal"):
        opened(tmp_path, bytes(16))


def test_a_write_that_fails_is_reported_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = opened(tmp_path)
    records: list[Record] = [(1, 0, listing()), (2, 1, bar(0))]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdatasync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        apply(files, records)
    assert files.seq == 0
    monkeypatch.undo()
    apply(files, records)
    assert len(read(tmp_path / "BTC-1m.csv")) == 1
    files.close()


@pytest.mark.parametrize(
    "change",
    [{"digest": "no"}, {"journal_id": "6"}, {"files": ["../beside.csv"]}, {"files": ["/tmp/x.csv", "a.txt"]}],
)
def test_a_cursor_that_no_store_writes_is_read_as_torn_and_no_other_file_is_touched(
    tmp_path: Path, change: dict[str, object]
) -> None:
    beside, folder = tmp_path / "beside.csv", tmp_path / "bars"
    beside.write_bytes(b"not ours")
    folder.mkdir()
    saved = {"journal_id": "66" * 16, "seq": 9, "digest": "00" * 32, "version": 2}
    (folder / ".cursor.json").write_text(json.dumps(saved | {"sizes": {"../beside.csv": 3}} | change))
    store = CsvStore(folder)
    with store.transaction():
        found = store.cursor()
    store.close()
    assert found is None or not found.seq
    assert beside.read_bytes() == b"not ours"


@pytest.mark.parametrize("name", [".cursor.json", "BTC-1m.csv"])
def test_a_pipe_in_place_of_a_file_is_reported_and_not_waited_for(tmp_path: Path, name: str) -> None:
    records: list[Record] = [(1, 0, listing()), (2, 1, bar(0))]
    written(tmp_path, records)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(StoreUnavailable, match="is not a file"):
        apply(opened(tmp_path), records)


def test_names_of_files_hold_no_path(tmp_path: Path) -> None:
    written(tmp_path, [(1, 0, listing(1, "../x/@1")), (2, 1, bar(0))])
    assert [path.name for path in tmp_path.glob("*.csv")] == ["..%2Fx%2F%401-1m.csv"]


NAMES = st.text(alphabet="AbB1/:_%. -é@\n", min_size=1, max_size=6)


@given(names=st.lists(NAMES, min_size=1, max_size=5))
def test_no_two_instruments_share_a_file(names: list[str]) -> None:
    """Also not those of one name at two venues, or listed in another order than their bars come."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        records: list[Record] = []
        for number, name in enumerate(names, start=1):
            venue = f"venue{number}"
            records.append((len(records) + 1, 0, replace(listing(number, name), venue=venue)))
        for number in range(len(names), 0, -1):
            records.append((len(records) + 1, 1, bar(0, close=100 + number, instrument=number)))
        written(folder, records)
        found = {path.name: read(path) for path in folder.glob("*.csv")}
        assert len(found) == len(names)
        assert all(len(rows) == 1 for rows in found.values())
        for number, name in enumerate(names, start=1):
            own = name if name not in names[: number - 1] else f"venue{number}:{name}"
            (row,) = found[f"{quote(own, safe='')}-1m.csv"]
            assert row["close"] == str(Decimal(100 + number) / 100)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_of_a_venue_is_no_formula(tmp_path: Path, start: str) -> None:
    text = start + 'cmd|"calc"!A1, or so'
    written(tmp_path, [(1, 0, listing()), (2, 1, replace(bar(0), incomplete=True, because=text))])
    (row,) = read(tmp_path / "BTC-1m.csv")
    assert row["incomplete_because"] == f"'{text}"


def test_files_under_names_of_an_earlier_version_stay_and_those_of_today_are_made(tmp_path: Path) -> None:
    records: list[Record] = [(1, 0, listing(1, "A/B")), (2, 1, bar(0)), (3, 1, bar(1))]
    written(tmp_path, records[:2])
    (tmp_path / "A%2FB-1m.csv").rename(tmp_path / "A_B-1m.csv")
    cursor = tmp_path / ".cursor.json"
    earlier = json.loads(cursor.read_text(encoding="utf-8")) | {"files": ["A_B-1m.csv"], "version": 1}
    cursor.write_text(json.dumps(earlier), encoding="utf-8")
    files = opened(tmp_path)
    assert files.seq == 0, "the journal is read again from its first record"
    apply(files, records)
    files.close()
    assert [row["seq"] for row in read(tmp_path / "A%2FB-1m.csv")] == ["2", "3"]
    assert [row["seq"] for row in read(tmp_path / "A_B-1m.csv")] == ["2"]


def test_instruments_of_one_name_have_a_file_each_which_keeps_its_name(tmp_path: Path) -> None:
    """The file of the first one is called as before the second one was listed, over restarts too."""
    written(tmp_path, [(1, 0, listing()), (2, 1, bar(0, 110))])
    written(tmp_path, [(3, 0, listing(2, "BTC", "kraken")), (4, 1, bar(0, 120, instrument=2))])
    written(tmp_path, [(5, 1, bar(1, 130)), (6, 1, bar(1, 140, instrument=2))])
    closes = {path.name: [row["close"] for row in read(path)] for path in tmp_path.glob("*.csv")}
    assert closes == {"BTC-1m.csv": ["1.1", "1.3"], "kraken%3ABTC-1m.csv": ["1.2", "1.4"]}


def test_a_file_that_is_taken_away_while_the_engine_runs_is_made_again_whole(tmp_path: Path) -> None:
    records: list[Record] = [(1, 0, listing()), (2, 1, bar(0)), (3, 1, bar(1)), (4, 1, bar(0, 7, revision=1))]
    files = opened(tmp_path)
    apply(files, records)
    (tmp_path / "BTC-1m.csv").unlink()
    later: list[Record] = [(5, 1, bar(2))]
    with pytest.raises(StoreUnavailable, match="was deleted; it is made again from the journal") as caught:
        apply(files, later)
    assert (caught.value.reason, files.read_cursor()) == ("deleted", 0), "the journal is read again"
    apply(files, records + later)
    files.close()
    assert [row["seq"] for row in read(tmp_path / "BTC-1m.csv")] == ["2", "3", "5"]
    assert [row["seq"] for row in read(tmp_path / "BTC-1m.corrections.csv")] == ["4"]


@pytest.mark.parametrize("torn", [b"", b'{"journal_id"', b"\0" * 40])
def test_s09_a_cursor_that_a_loss_of_power_tore_costs_no_line_and_doubles_none(
    tmp_path: Path, torn: bytes
) -> None:
    records: list[Record] = [(1, 0, listing()), (2, 1, bar(0)), (3, 1, bar(1))]
    written(tmp_path, records)
    (tmp_path / ".cursor.json").write_bytes(torn)
    written(tmp_path, [*records, (4, 1, bar(2))])
    assert [row["seq"] for row in read(tmp_path / "BTC-1m.csv")] == ["2", "3", "4"]


def test_s09_lines_are_on_disk_before_the_cursor_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fdatasync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append("sync")
        sync(descriptor)

    def replaced(path: Path, target: Path) -> Path:
        steps.append(target.name)
        return replace(path, target)

    monkeypatch.setattr("os.fdatasync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    written(
        tmp_path, [(1, 0, listing()), (2, 0, listing(2, "ETH")), (3, 1, bar(0)), (4, 1, bar(0, instrument=2))]
    )
    assert steps == ["sync", "sync", ".cursor.json"]


def test_a_cursor_of_an_earlier_version_has_its_journal_read_again_and_no_line_twice(tmp_path: Path) -> None:
    records: list[Record] = [(1, 0, listing()), (2, 1, bar(0)), (3, 1, bar(1))]
    written(tmp_path, records)
    old = b'{"journal_id":"%s","seq":3,"files":["BTC-1m.csv"]}' % JOURNAL.hex().encode()
    (tmp_path / ".cursor.json").write_bytes(old)
    writer = opened(tmp_path)
    assert writer.seq == 0
    writer.close()
    with pytest.raises(StoreOutOfStep, match="another journal"):
        opened(tmp_path, bytes(16))
    written(tmp_path, [*records, (4, 1, bar(2))])
    assert [row["seq"] for row in read(tmp_path / "BTC-1m.csv")] == ["2", "3", "4"]
