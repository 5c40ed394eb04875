"""The round trips of a report are those of the table `round_trips`."""

from __future__ import annotations

from pathlib import Path

from engine.clock import SECOND_NS
from tests.analysis.test_collecting import report
from tests.replay.kit import BUSY, NOON, candles, opening, run, stopped
from tests.stores.record_streams import apply_all, opened, rows

COLUMNS = (
    "entry_seq, seq, entered_ns, exited_ns, side, size, entry_price, exit_price, profit, fees, net, exit_by"
)


def test_the_round_trips_of_a_report_are_those_of_the_rows(tmp_path: Path) -> None:
    inputs = opening(BUSY, NOON) + candles(300, NOON, SECOND_NS)
    inputs.append(stopped(inputs[-1].recv_ns))  # type: ignore[attr-defined]
    records = run(inputs).all()
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        apply_all(writer, records[:700])
        apply_all(writer, records[700:])
    trips = report(records).trips
    assert len(trips) > 5
    assert rows(path, f"select {COLUMNS} from round_trips order by seq") == [
        (
            *(one.entry_seq, one.exit_seq, one.entered_ns, one.exited_ns, one.side),
            *(float(one.size), one.entry_price, one.exit_price),
            *(float(one.profit), float(one.fees), float(one.net), one.exit_by),
        )
        for one in trips
    ]
