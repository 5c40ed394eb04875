"""The page for contributors agrees with the files, commands, indicators and venues that exist."""

from __future__ import annotations

import importlib
import re
import typing
from pathlib import Path

import click
import pytest

import engine.indicators
from engine.cli import cli
from engine.loading.venues import VENUES, find_venue
from engine.strategies import Tif

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = cli.list_commands(click.Context(cli))


def test_every_file_on_the_page_exists() -> None:
    paths = re.findall(r"`((?:engine|adapters|replay|tests|docs)/[^`\s]*)`", PAGE)
    assert len(paths) > 35
    assert [path for path in paths if not (ROOT / path).exists() and "NAME" not in path] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_module_with_its_name_and_a_row_in_the_readme(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help, "a help text"
    module = importlib.import_module(f"engine.commands.{name}{'_' if name == 'import' else ''}")
    assert hasattr(module, f"{name}_command")
    assert re.search(rf"^\|[^|]*`engine {name}\b", README, re.MULTILINE)


def test_every_indicator_is_on_its_page() -> None:
    page = (ROOT / "docs" / "indicators.md").read_text(encoding="utf-8")
    updated = [
        name for name in engine.indicators.__all__ if hasattr(getattr(engine.indicators, name), "update")
    ]
    assert len(updated) > 15
    assert [name for name in updated if f"`{name}(" not in page] == []


def test_every_time_in_force_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    assert [tif for tif in typing.get_args(Tif) if f'"{tif}"' not in guide] == []


@pytest.mark.parametrize("name", VENUES)
def test_each_venue_has_the_same_file_names(name: str) -> None:
    package, _, _ = VENUES[name].partition(":")
    folder = ROOT / package.replace(".", "/").removesuffix("/venue")
    assert (folder / "venue.py").is_file()
    if name != "sandbox":  # This package is an exchange, not a client of one.
        files = ["wire.py", "decode.py", "listing.py", "history.py", "feed.py"]
        for file in [*files, *(["gateway"] if find_venue(name).has_orders else [])]:
            assert (folder / file).exists()
