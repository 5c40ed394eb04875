"""The seam to venues: found by name, imported late, and named nowhere else in the engine."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from adapters.hyperliquid.venue import HyperliquidVenue
from engine.commands.redecoding import Decoders
from engine.config import Config, VenueConfig, parse_config
from engine.errors import ConfigError, SafetyRefusal, UsageError
from engine.events import InstrumentListed
from engine.loading.venues import VENUES, check_sections, find_venue, venue_names
from engine.venue import Venue
from tests.commands.kit import ROOT
from tests.venues.kit import install

TABLES = {"engine/loading/venues.py", "engine/floors.py"}
"""Where the engine names a venue: by its name for users, and in the table of floors, where the sandbox
imports it."""


def names_in(source: str) -> Iterator[tuple[int, str]]:
    """Yield what a program names: identifiers, modules, and strings of one word; prose has spaces."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value.strip():
            yield node.lineno, node.value


def test_the_engine_names_a_venue_in_its_tables_and_in_texts_for_people() -> None:
    found: list[str] = []
    for path in sorted(path for folder in ("engine", "replay") for path in (ROOT / folder).rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        text = path.read_text("utf-8")
        for number, name in names_in(text) if "hyperliquid" in text.lower() else ():
            if "hyperliquid" in name.lower():
                found.append(f"{file}:{number}: {name}")
    assert {line.partition(":")[0] for line in found} == TABLES, "\n".join(found)


@pytest.mark.parametrize("name", VENUES)
def test_every_venue_of_the_table_is_found_under_its_name(name: str) -> None:
    venue = find_venue(name)
    assert isinstance(venue, Venue)
    assert venue.name == name
    venue.check(Config())


UNREADY = """
from engine.venue import Venue


class Nameless(Venue):
    def check(self, config): ...
    def address(self, config, base_url, *, real): ...
    async def connect(self, base_url, config, signer=None): ...


class Raising(Nameless):
    name = "raises"

    def __init__(self):
        raise RuntimeError("not ready")
"""


def test_entry_points_are_found_and_their_errors_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["[retape.venues]", "good = tests.venues.toy:ToyVenue", "gone = no_such_module:Venue"]
    (tmp_path / "leaving.py").write_text("import sys\n\nsys.exit(3)\n", encoding="utf-8")
    (tmp_path / "unready.py").write_text(UNREADY, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    lines += ["leaves = leaving:Venue", "module = unready", "nameless = unready:Nameless"]
    lines += ["raises = unready:Raising"]
    lines += ["odd = tests.venues.toy:ANSWER_S", "two = tests.venues.toy:ToyVenue", ""]
    monkeypatch.syspath_prepend(str(install(tmp_path / "one", "one", "\n".join(lines))))
    monkeypatch.syspath_prepend(
        str(install(tmp_path / "two", "two", "[retape.venues]\ntwo = tests.venues.toy:BareVenue\n"))
    )
    assert venue_names() == [*VENUES, "gone", "good", "leaves", "module", "nameless", "odd", "raises", "two"]
    assert find_venue("good").name == "toy"
    for name, words in (
        ("gone", "cannot be loaded from no_such_module:Venue: ModuleNotFoundError"),
        ("leaves", "cannot be loaded from leaving:Venue: SystemExit: 3"),
        ("module", "is not a subclass of engine.venue.Venue"),
        ("nameless", "Nameless has no name; set it as name = 'nameless'"),
        ("raises", "cannot be made: RuntimeError: not ready"),
        ("odd", "is not a subclass of engine.venue.Venue"),
        ("two", "two installed packages bring a venue 'two'"),
        ("god", "there is no venue 'god'; did you mean good"),
    ):
        with pytest.raises(UsageError, match=words):
            find_venue(name)


def test_a_section_of_a_venue_that_does_not_exist_is_refused() -> None:
    venue = find_venue("hyperliquid")
    check_sections(parse_config({"venues": {"sandbox": {}, "hyperliquid": {}}}), venue)
    with pytest.raises(
        ConfigError, match=r"venues\.hyperliqid: there is no venue .*did you mean hyperliquid"
    ):
        check_sections(parse_config({"venues": {"hyperliqid": {}}}), venue)


def test_a_configuration_without_sections_of_venues_is_recorded_as_before() -> None:
    text = Config().canonical()
    assert '"venues"' not in text
    assert parse_config(text).canonical() == text
    own = parse_config({"venues": {"toy": {"quotes": False}}})
    assert parse_config(own.canonical()) == own


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": "devnet"}, "venue.network: 'devnet' is not one of mainnet, testnet, sandbox"),
        ({"transport": "mail"}, "venue.transport: 'mail' is not one of rest, post"),
        ({"account": "0xabc"}, "venue.account: '0xabc' is not an address"),
        ({"vault": "me"}, "venue.vault: 'me' is not an address"),
    ],
)
def test_hyperliquid_checks_the_account_of_a_configuration(change: dict[str, str], words: str) -> None:
    config = Config(venue=msgspec.structs.replace(VenueConfig(), **change))
    with pytest.raises(ConfigError, match=words):
        HyperliquidVenue().check(config)


def test_real_orders_go_to_the_address_of_the_configured_network() -> None:
    venue = HyperliquidVenue()
    testnet = Config(venue=VenueConfig(network="testnet"))
    url = venue.address(testnet, None, real=True)
    assert url == "https://api.hyperliquid-testnet.xyz"
    assert venue.address(testnet, url, real=True) == url
    assert venue.address(testnet, "http://127.0.0.1:1", real=False) == "http://127.0.0.1:1"
    for config, given in (
        (testnet, "http://127.0.0.1:1"),
        (Config(), "https://api.hyperliquid.xyz"),
        (Config(), None),
    ):
        with pytest.raises(SafetyRefusal):
            venue.address(config, given, real=True)


def listed(*venues: str) -> list[InstrumentListed]:
    return [InstrumentListed(0, number, venue, "BTC", 1, 3) for number, venue in enumerate(venues, 1)]


def test_raw_messages_are_decoded_by_the_one_venue_of_the_day_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(install(tmp_path)))
    decoders = Decoders()
    assert decoders(listed("imported")) is None, "files have no raw messages"
    assert decoders(listed("imported", "bare")) is None
    assert decoders(listed("imported", "bare", "hyperliquid")) is not None
    with pytest.raises(UsageError, match="instruments of hyperliquid and toy"):
        decoders(listed("imported", "bare", "hyperliquid", "toy"))
