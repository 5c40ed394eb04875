"""`--report` writes a whole page or nothing, and replaces no file of another program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.commands.pages import folders_by_day, write_page
from engine.errors import UsageError
from engine.journal.disk import Disk
from engine.pages.frame import document, is_ours
from tests.commands.kit import SAMPLE, engine
from tests.pages.kit import Read

PAGE = document("page")
RUN = ("backtest", SAMPLE, "--strategy", "engine.strategies.crossover:Crossover")


def test_a_backtest_writes_its_report_as_a_page(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = engine(*RUN, "--report", file, "--end", "2024-12-05T00:40")
    assert done.code == 0
    assert f"report written to {file}" in done.out
    text = file.read_text("utf-8")
    assert is_ours(text)
    read = Read(text)
    assert "Crossover on" in read.text
    trips = read.data("trips")
    assert trips["root"] == "RUN"
    chain = next(iter(trips["chains"].values()))
    assert "OrderApproved" in "".join(line for _, line in chain)
    assert [seq for seq, _ in chain] == sorted(seq for seq, _ in chain)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_the_causes_in_the_page_are_the_last_ones_that_why_shows(tmp_path: Path) -> None:
    file, out = tmp_path / "report.html", tmp_path / "run"
    assert engine(*RUN, "--report", file, "--out", out, "--end", "2024-12-05T00:40").code == 0
    trips = Read(file.read_text("utf-8")).data("trips")
    folder = trips["folders"]["2024-12-05"]
    assert folder == str(out / "2024-12-05")
    assert len(trips["chains"]) > 2
    for seq, chain in list(trips["chains"].items())[:4]:
        lines = [line for _, line in chain]
        whole = engine("why", folder, seq).out.splitlines()
        assert whole[-len(lines) :] == lines
        before = len(whole) - len(lines)
        assert not before or "TimerFired" in lines[0]


def test_a_file_of_another_program_is_refused_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "notes.html"
    file.write_text("<!doctype html><html lang=en><p>mine")
    done = engine("backtest", tmp_path / "no-such-day", "--report", file)
    assert (done.code, done.out) == (2, "")
    assert "is not a page of this program" in done.err
    assert file.read_text().endswith("mine")


@pytest.mark.parametrize("name", ["no/such/folder.html", "."])
def test_a_place_that_cannot_hold_a_page_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="folder"):
        write_page(tmp_path / name, PAGE)


def test_a_page_of_ours_and_an_empty_file_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.touch(0o600)
    write_page(file, PAGE)
    write_page(file, document("newer"))
    assert "newer" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_new_page_withholds_what_every_written_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0)
    try:
        for withheld, umask, mode in ((0o077, 0, 0o600), (0o027, 0, 0o640), (0o027, 0o077, 0o600)):
            monkeypatch.setattr(Disk, "withheld", withheld)
            os.umask(umask)
            file = tmp_path / f"{withheld:o}-{umask:o}.html"
            write_page(file, PAGE)
            assert file.stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "page.html", tmp_path / "link.html"
    file.write_text(PAGE)
    link.symlink_to(file)
    write_page(link, document("newer"))
    assert link.is_symlink()
    assert "newer" in file.read_text()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "page.html"
    write_page(file, PAGE)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match="No space left on device; nothing was changed"):
        write_page(file, document("newer"))
    assert file.read_text() == PAGE
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_a_date_of_two_journals_has_no_folder_to_ask() -> None:
    days = [Path("a/2024-12-05"), Path("b/2024-12-05"), Path("b/2024-12-06")]
    assert folders_by_day(days) == {"2024-12-06": "b/2024-12-06"}
