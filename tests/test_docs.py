"""The pages match the code: fault ids are explained, tables are generated, keys are described."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import msgspec

from engine.config import EXIT_EXPIRES_MS, Config, VenueConfig, keys, parse_config
from engine.config.sections import RECORDED_INSTRUMENTS
from engine.loading.venues import VENUES
from engine.records import open_day
from tests.commands.kit import engine
from tests.docs_tables import (
    API,
    BACKTESTS,
    CONFIGURATION,
    README,
    STRATEGIES,
    api_page,
    backtests_page,
    configuration_page,
    readme_page,
    strategies_page,
)

ROOT = Path(__file__).resolve().parents[1]
IN_NAME = re.compile(r"(?:def test|[\"'])_?((?:[a-z][0-9]{2}_)+)")
IN_TEXT = re.compile(r"\b([IJCTNFOVRQSLX][0-9]{1,2})\b(?=[,)\s:.])")


def ids_in_tests() -> dict[str, str]:
    """Return the ids in the names of tests, each with one of its files."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        names = {one.upper() for run in IN_NAME.findall(text) for one in run.strip("_").split("_")}
        docstrings = " ".join(re.findall(r'"""(.*?)"""', text, re.DOTALL))
        for one in names | set(IN_TEXT.findall(docstrings)):
            found.setdefault(one, path.relative_to(ROOT).as_posix())
    return found


def test_the_page_on_faults_explains_exactly_the_ids_in_the_names_of_tests() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| ([A-Z][0-9]{1,2}) \|", page, re.MULTILINE)
    assert len(explained) == len(set(explained))
    named = ids_in_tests()
    assert {one: named[one] for one in named if one not in explained} == {}
    assert [one for one in explained if one not in named] == []


def test_the_table_of_configuration_keys_is_generated_from_the_structs() -> None:
    assert CONFIGURATION.read_text(encoding="utf-8") == configuration_page(), "run `make docs`"


def test_what_differs_between_paper_and_live_is_generated_from_the_rules_of_the_venues() -> None:
    page = STRATEGIES.read_text(encoding="utf-8")
    assert page == strategies_page(), "run `make docs`"
    assert page.count("| rule | Hyperliquid perp |") == 1


def test_the_table_of_venues_is_generated_from_the_adapters() -> None:
    page = README.read_text(encoding="utf-8")
    assert page == readme_page(), "run `make docs`"
    assert page.count("| `hyperliquid` | perp, spot |") == 1


def test_the_command_lists_the_venues_that_the_readme_lists() -> None:
    rows = [json.loads(line) for line in engine("venues", "--json").out.splitlines()]
    assert [row["venue"] for row in rows] == list(VENUES)
    named = {row["venue"]: row for row in rows}
    assert named["sandbox"]["lists_as"] == "hyperliquid"
    assert named["kraken"]["orders"] is False
    assert named["kraken"]["history"] == ["candles"]
    assert named["lighter"]["history"] == ["candles", "funding"]
    assert named["binance-usdm"]["history"] == ["candles", "funding", "open interest"]
    for row, line in zip(rows, engine("venues").out.splitlines()[1:], strict=True):
        assert line.split()[0] == row["venue"]
        orders, raw, sandbox = ("yes" if row[key] else "no" for key in ("orders", "raw", "sandbox"))
        cells = [orders, ", ".join(row["history"]), raw, sandbox]
        assert re.split(r" {2,}", line.strip())[-4:] == cells


def test_the_codes_of_the_api_are_up_to_date() -> None:
    assert API.read_text(encoding="utf-8") == api_page(), "run `make docs`"


def test_the_formulas_of_the_metrics_are_up_to_date() -> None:
    assert BACKTESTS.read_text(encoding="utf-8") == backtests_page(), "run `make docs`"


def test_every_key_of_the_configuration_is_described() -> None:
    recorded = {"instruments": RECORDED_INSTRUMENTS}
    listed = {(key.section.strip("[]"), recorded.get(key.name, key.name)) for key in keys()}
    for name, value in msgspec.to_builtins(Config()).items():
        entries = value if isinstance(value, list | tuple) and value else [value]
        if isinstance(entries[0], dict):
            assert [key for key in entries[0] if (name, key) not in listed] == []
        else:
            assert ("", name) in listed


def test_engine_config_shows_a_configuration_of_defaults() -> None:
    printed = engine("config").out
    # What a session sets where a file does not is shown as a key.
    assert parse_config(tomllib.loads(printed)) == Config(venue=VenueConfig(exit_expires_ms=EXIT_EXPIRES_MS))
    assert engine("config", "risk").out.startswith("\n[risk]\n# ")
    assert "did you mean risk?" in engine("config", "risks").err


def test_the_readme_shows_the_digest_of_the_sample_day() -> None:
    *_, last = open_day(ROOT / "journal" / "2024-12-05")
    assert f"\ndigest  {last.digest.hex()}\n" in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "make sample"
    )
