"""The stores of a session: the configuration, the kinds, and the options of the command line."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.commands.stores import session_stores, witness_of
from engine.config import Config, StrategyConfig, parse_config
from engine.errors import ConfigError, UsageError
from engine.events import BarClosed, SessionStarted
from engine.journal import ensure_identity, list_days
from engine.records import read_records
from engine.stores.catchup import rebuild
from engine.stores.csv_bars import CsvStore
from engine.stores.kinds import STORES, StoreKind, make_store
from engine.stores.sqlite.store import SqliteStore
from engine.stores.writer import StoreWriter
from tests.commands.kit import FAST, engine, trade_until
from tests.stores.key_value import KeyValueStore, Server
from tests.stores.record_streams import JOURNAL_ID, digest_at, life_of_an_order

ROOT = Path("journal")


def places(config: Config, **options: Any) -> dict[str, tuple[str, str]]:
    stores = session_stores(config, ROOT, **options)
    return {name: (store.kind, store.place) for name, store in stores.items()}


def with_stores(*sections: dict[str, Any]) -> Config:
    return parse_config({"stores": list(sections)})


# The configuration.


def test_the_recorded_configuration_leaves_out_the_stores() -> None:
    plain = parse_config({})
    config = with_stores({"kind": "csv", "path": "bars"}, {"kind": "sqlite", "path": "a.db", "trades": True})
    assert config.canonical() == plain.canonical()
    assert "stores" not in plain.canonical()
    assert parse_config(config.canonical()) == plain


def test_the_recorded_configuration_holds_all_other_fields_byte_for_byte() -> None:
    """All but the stores, `[report]` and `[mirror]`, which decide nothing that is recorded."""
    config = Config(instruments=("BTC",), strategies=(StrategyConfig(name="a"),), seed=7)
    deciding = msgspec.json.decode(msgspec.json.encode(config, order="deterministic"))
    deciding.pop("report")
    deciding.pop("mirror")
    assert config.canonical() == msgspec.json.encode(deciding).decode()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ([{"path": "x"}], "stores.kind"),
        ([{"kind": ""}], "stores.kind"),
        ([{"kind": "sqlite", "name": 7}], "stores.name"),
        ([{"kind": "sqlite"}, {"kind": "sqlite", "path": "b.db"}], "two are named 'sqlite'"),
    ],
)
def test_a_section_without_a_kind_or_with_a_name_twice_is_refused(sections: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"stores": sections})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"kind": "sqlit"}, "no kind of store 'sqlit'; did you mean sqlite"),
        ({"kind": "sqlite", "pth": "x"}, "no key 'pth'; did you mean path"),
        ({"kind": "sqlite", "trades": "yes"}, r"kind 'sqlite': .*trades"),
        ({"kind": "csv"}, "kind 'csv': .*path"),
    ],
)
def test_a_kind_checks_its_own_keys(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_store(section, ROOT)


def test_a_kind_of_an_installed_package_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(msgspec.Struct, frozen=True):
        url: str

    class Entry:
        name = "key-value"
        value = "theirs:KIND"

        def load(self) -> StoreKind:
            return StoreKind(Settings, lambda *_: KeyValueStore(Server()))

    monkeypatch.setattr("engine.plugins.entry_points", lambda **_: [Entry()])
    assert make_store({"kind": "key-value", "url": "kv://x"}, ROOT).kind == "key-value"
    with pytest.raises(ConfigError, match="no key 'path'; known: kind, name, url"):
        make_store({"kind": "key-value", "path": "x"}, ROOT)
    with pytest.raises(ConfigError, match="no kind of store 'oracle'"):
        make_store({"kind": "oracle"}, ROOT)


# The stores of a session.


def test_without_sections_a_session_has_sqlite_in_its_journal() -> None:
    default = ("sqlite", "journal/retape.db")
    assert places(Config()) == {"projector": default}
    assert places(Config(), db=Path("mine.db")) == {"projector": ("sqlite", "mine.db")}
    assert places(Config(), csv=Path("bars")) == {"projector": default, "csv": ("csv", "bars")}
    assert places(Config(), no_db=True, csv=Path("bars")) == {"csv": ("csv", "bars")}
    assert places(parse_config({"stores": []})) == {}


def test_sections_replace_the_default_and_options_add_to_them() -> None:
    config = with_stores({"kind": "csv", "path": "bars"}, {"kind": "sqlite", "name": "all", "trades": True})
    both = {"csv": ("csv", "bars"), "all": ("sqlite", "journal/retape.db")}
    assert places(config) == both
    assert places(config, csv=Path("other")) == both | {"csv": ("csv", "other")}
    assert places(config, db=Path("a.db")) == both | {"projector": ("sqlite", "a.db")}
    assert places(config, no_db=True) == {"csv": ("csv", "bars")}
    with pytest.raises(UsageError, match="there is no folder absent"):
        places(config, db=Path("absent/a.db"))
    with pytest.raises(UsageError, match=r"'one' and 'other' are both at \./bars"):
        places(
            with_stores(
                {"kind": "csv", "name": "one", "path": "bars"},
                {"kind": "csv", "name": "other", "path": "./bars"},
            )
        )
    with pytest.raises(UsageError, match="both at"):
        places(config, db=Path("journal/retape.db"))


def test_the_store_with_the_highest_seq_is_the_witness(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    root.mkdir()
    ensure_identity(root, JOURNAL_ID)
    stores = {"rows": SqliteStore(tmp_path / "rows.db"), "csv": CsvStore(tmp_path / "bars")}
    assert witness_of(root, stores) is None
    for store, end in zip(stores.values(), (3, 7), strict=True):
        with StoreWriter(store, JOURNAL_ID) as writer:
            writer.apply(life_of_an_order()[:end], seq=end, digest=digest_at(end))
    found = witness_of(root, stores)
    assert found is not None
    assert (found.seq, found.digest, found.name) == (7, digest_at(7), str(tmp_path / "bars"))
    (tmp_path / "bars" / ".cursor.json").write_bytes(b"torn")
    (tmp_path / "rows.db").write_bytes(b"nonsense" * 1000)
    assert witness_of(root, stores) is None


def test_the_configuration_page_lists_the_keys_of_every_kind() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = page.partition("## Stores")[2].partition("## Every key")[0]
    for name, place in STORES.items():
        module, _, attribute = place.partition(":")
        kind = getattr(importlib.import_module(module), attribute)
        assert f"| `{name}` |" in rows
        for field in msgspec.structs.fields(kind.settings):
            assert f"| `{field.name}` |" in rows, (name, field.name)


def test_a_session_with_two_configured_stores_fills_both(tmp_path: Path) -> None:
    root, config = tmp_path / "journal", tmp_path / "fast.toml"
    sections = f"""
[[stores]]
kind = "sqlite"
path = "{tmp_path}/rows.db"
trades = true
[[stores]]
kind = "csv"
path = "{tmp_path}/bars"
"""
    config.write_text(FAST + sections, encoding="utf-8")
    live = trade_until(root, {BarClosed: 50}, "--config", config, "--speed", 60)
    assert live.code == 0, live.err
    assert f"{tmp_path}/rows.db" in live.out
    assert not (root / "retape.db").exists()
    check = engine("project", root, "--db", tmp_path / "rows.db", "--trades", "--check")
    assert check.code == 0, check.out + check.err
    rebuild(CsvStore(tmp_path / "again"), [day.path for day in list_days(root)])
    found = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.csv")}
        for name in ("bars", "again")
    ]
    assert found[0]
    assert found[0] == found[1]
    (day, *_) = list_days(root)
    for started in (event for _, _, event in read_records(day.path) if isinstance(event, SessionStarted)):
        assert "stores" not in started.config
        assert str(tmp_path) not in started.config
