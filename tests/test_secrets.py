"""What is secret stays out of records and output, and files are their owner's."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from engine.config import load_config
from engine.config.secrets import looks_like_key
from engine.errors import ConfigError
from tests.commands.kit import engine, shell

HEX = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
KEYS = [HEX, f"0x{HEX}", HEX.upper(), f" {HEX}\n", WORDS, "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["key_file", "key_env", "key_ring", "account", "vault"])
def test_a_key_in_place_of_a_name_is_refused_and_not_shown(tmp_path: Path, name: str, key: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[venue]\n{name} = '''{key}'''\n", encoding="utf-8")
    done = engine("live", "--config", path, "--journal", tmp_path / "journal", "--for", "1")
    assert done.code == 2
    assert f"venue.{name}" in done.err
    assert "looks like a private key" in done.err
    assert key.strip()[7:20] not in done.err + done.out
    assert not (tmp_path / "journal").exists(), "nothing was written"


@pytest.mark.parametrize("section", ["[[strategies]]\nuse = 'a:B'\nparams = {{ x = '{0}' }}", "'{0}' = 1"])
def test_a_key_anywhere_in_a_file_is_refused_before_its_value_is_shown(tmp_path: Path, section: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(section.format(HEX), encoding="utf-8")
    with pytest.raises(ConfigError, match="looks like a private key") as caught:
        load_config(path)
    assert HEX[7:] not in str(caught.value)


def test_a_key_as_a_parameter_is_refused(tmp_path: Path) -> None:
    use = "engine.strategies.crossover:Crossover"
    done = engine("live", "--strategy", use, "--param", f"notional=0x{HEX}", "--journal", tmp_path / "j")
    assert done.code == 2
    assert "--param: 0x4c08... looks" in done.err
    assert HEX[7:] not in done.err


OPTIONS = [
    *(
        "--instruments {}",
        "--strategy {}",
        "--strategy a:{}",
        "--venue {}",
        "--base-url http://127.0.0.1:1/{}",
    ),
    *(
        "--fresh {}",
        "--move a={}",
        "--journal {}",
        "--db {}",
        "--csv {}",
        "--config {}",
        "--mode {}",
        "--for {}",
    ),
    *("--param {}=1", "--param a={}", "--instruments BTC,{}", "--unknown {}"),
]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("key", [HEX, f"0x{HEX}"])
def test_a_key_anywhere_on_a_command_line_is_refused_and_not_shown(
    tmp_path: Path, option: str, key: str
) -> None:
    done = engine("live", "--for", "1", *option.format(key).split(), cwd=tmp_path)
    assert done.code == 2
    assert option.split()[0] in done.err
    assert "looks like a private key" in done.err
    assert key[6:] not in done.err + done.out
    assert not [*tmp_path.iterdir()], "nothing was written"


@pytest.mark.parametrize(
    "text",
    [
        *("testnet.key", "/run/credentials/retape/key", "RETAPE_KEY", "0x" + "ab" * 20, "BTC", ""),
        *("a note that somebody wrote about this strategy", "12345.678", "hyperliquid:xyz:SP500"),
        f"/var/lib/{HEX}/journal",
    ],
)
def test_names_and_addresses_are_not_taken_for_keys(text: str) -> None:
    assert not looks_like_key(text)


def modes(root: Path) -> dict[str, int]:
    """Return the permissions of everything below a folder, and of the folder."""
    return {str(path): stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}


@pytest.mark.parametrize(("umask", "file", "folder"), [("077", 0o600, 0o700), ("027", 0o640, 0o750)])
def test_everything_that_a_session_writes_is_its_owners(
    tmp_path: Path, umask: str, file: int, folder: int
) -> None:
    root = tmp_path / "new" / "journal"
    options = f"--journal {root} --db {root}/rows.db --csv {root}/bars --raw --for 1"
    chosen = f"--umask {umask}" if umask != "077" else ""
    done = shell(f"umask 022; {{engine}} {chosen} live --venue sandbox {options}")
    assert done.code == 0, done.err
    found = modes(tmp_path / "new")
    assert any(name.endswith(".db") for name in found)
    assert any("raw" in name for name in found)
    wrong = {
        name: oct(mode) for name, mode in found.items() if mode != (folder if Path(name).is_dir() else file)
    }
    assert not wrong
