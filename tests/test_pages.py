"""The commands of the README and the docs work as written, in order, from a fresh clone.

`runnable` changes a few commands before they run: endless sessions get an end, long ones are shortened, and a
local sandbox replaces the venue. The README starts `engine` as a user does; on the other pages a process that
has imported the engine is forked (`tests/commands/forking.py`).
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from engine.cli import cli
from engine.loading.venues import find_venue, venue_names
from tests.commands.forking import shell_command
from tests.commands.kit import FORKS, start
from tests.docs_pages import PAGES, ROOT, blocks, clone, commands

# A key that is used in these sessions only.
KEY = "0x" + "07" * 32
ADDRESS = "0x4a62316623ad457f02cdc5d997ded67a383ec569"

VENUE_ONLY = ("--config testnet.toml",)
"""Parts of commands that need the real venue. The test parses them and does not run them."""

SERVER_ONLY = ("postgresql://", "http://127.0.0.1:9000", "docker run", "pip install 'retape[")
"""Parts of commands that need the server of a store. `make test-stores` runs what they do."""

SANDBOXES = [name for name in venue_names() if name != "sandbox" and find_venue(name).sandbox]
"""The venues that a sandbox stands for."""

SESSION_S = 3
"""How long sessions run, in seconds."""

LISTENS = """python -c "import socket; socket.create_connection(('127.0.0.1', $PORT))" 2>/dev/null"""
"""Succeeds once the sandbox that a page starts accepts connections."""


HAS_PRICES = "[ -S journal/engine.sock ] && engine status 2>/dev/null | grep -q 'price .* old'"
"""Succeeds once the engine that a page starts has prices."""


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if any(block.language == language for block in blocks(page))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def variable_of(venue: str) -> str:
    """Return the environment variable with the address of a venue's sandbox."""
    return f"SANDBOX_{venue.upper().replace('-', '_')}"


def runnable(command: str) -> str:
    """Return a command as the test runs it."""
    command = command.replace("0xYOUR_ADDRESS", ADDRESS).replace(":3001", ":$PORT")
    if command.startswith("git clone") or any(part in command for part in (*VENUE_ONLY, *SERVER_ONLY)):
        return "true"
    if command == "make demo":
        return f'make demo ARGS="--for {SESSION_S}"'
    if command.startswith("make "):
        return command.replace("make ", "make -n ", 1) + " >/dev/null"
    if command.startswith("install -m 600 /dev/stdin"):
        return f"printf %s {KEY} | {command}"
    named = re.match(r"engine (?:live|backfill)\b.* --venue (\S+)", command)
    if named is not None and named[1] in SANDBOXES:
        # The sandbox has no history before today.
        command = re.sub(r"--since \S+", "--since $TODAY", command)
        command += "" if "--base-url" in command else f" --base-url ${variable_of(named[1])}"
    if command.startswith("engine live --dashboard"):
        # It runs for the commands below it; the script ends it.
        return (
            f"{command.replace('--dashboard', '--dashboard :0', 1)} &\nuntil {HAS_PRICES}; do sleep 0.1; done"
        )
    if command.startswith("engine ctl stop"):
        return f"{command}\nwait"
    if command.startswith("engine status --watch"):
        return f"timeout 2 {command} || [ $? = 124 ]"
    if command.startswith("ssh "):
        link = "\nln -s ../journal/engine.sock far/" if "engine.sock" in command else ""
        return (
            f"{command.replace('ssh', 'ssh -G', 1)} >/dev/null{link}"
            if shutil.which("ssh")
            else f"true{link}"
        )
    if command.startswith("engine live"):
        command = re.sub(r"--for \S+", "", command) + f" --for {SESSION_S}s"
    if command.startswith("engine sandbox"):
        # The sandbox runs for the commands below it; the script ends it.
        return f"{command} --port $PORT &\nuntil {LISTENS}; do sleep 0.1; done"
    return command


def script_of(page: Path, folder: Path) -> str:
    """Write the files that a page shows, and return its commands as one script."""
    lines = [
        "set -euo pipefail",
        "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT",
        "export TODAY=$(date -u +%F)",
    ]
    if "source .venv/bin/activate" not in page.read_text(encoding="utf-8"):
        lines.append("source .venv/bin/activate")  # The page assumes that the reader has followed the README.
    if FORKS and page.name != "README.md":
        lines += ["shopt -s expand_aliases", f"alias engine={shlex.quote(shlex.join(shell_command()))}"]
    for block in blocks(page):
        if block.file:
            text = block.text.replace("0xYOUR_ADDRESS", ADDRESS)
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(text, encoding="utf-8")
        if block.language == "sh":
            lines += [runnable(command) for command in commands(block.text)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def page_folder(tmp_path: Path) -> Path:
    """A fresh clone with the data files that pages use: trades, klines, messages, funding rates."""
    clone(tmp_path)
    lines = ["timestamp,price,quantity,side,id"]
    start_ms = 1_642_204_800_000  # 2022-01-15
    for number in range(7200):
        price = 43_000 + (number * 37 % 401) - 200 + number // 60
        lines.append(f"{start_ms + number * 500},{price},0.01,{'buy' if number % 3 else 'sell'},{number + 1}")
    (tmp_path / "BTCUSDT-trades.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    klines = "".join(
        f"{start_ms + minute * 60_000},10,12,9,11,5,{start_ms + minute * 60_000 + 59_999},55,3,2,22,0\n"
        for minute in range(10)
    )
    for name in ("BTCUSDT-1m-2022-01", "ETHUSDT-1m-2022-01"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}.csv", klines)
    (tmp_path / "messages.gz").write_bytes(gzip.compress("\n".join(recorded_trades(start_ms)).encode()))
    rates = "".join(f"{start_ms + hour * 3_600_000 + 7},0.0000{hour}5\n" for hour in range(9))
    (tmp_path / "rates.csv").write_text(f"timestamp,rate\n{rates}", encoding="utf-8")
    return tmp_path


def recorded_trades(start_ms: int) -> Iterator[str]:
    """Yield lines of a recorder: when a message was received, in nanoseconds, and the message."""
    for number in range(100):
        at_ms = start_ms + number * 900
        trade = {"e": "trade", "E": at_ms, "s": "BTCUSDT", "t": number + 1, "T": at_ms, "m": number % 2 == 0}
        data = trade | {"p": str(43_000 + number % 7), "q": "0.01"}
        yield f"{(at_ms + 5) * 1_000_000} {json.dumps({'stream': 'btcusdt@trade', 'data': data})}"


@pytest.fixture(scope="module")
def venues() -> Iterator[dict[str, str]]:
    """Sandboxes for the commands that need a venue, which all pages share; their addresses by variable."""
    named = [part for name in SANDBOXES for part in ("--venue", name)]
    options = ["--port", 0, "--json", "--until-eof", *named, "--history", 300]
    with start("sandbox", *options, stdin=-1, stderr=None) as process:
        assert process.stdout is not None
        served = json.loads(process.stdout.readline())["venues"]
        yield {variable_of(name): address["base_url"] for name, address in served.items()}
        process.terminate()


@pytest.fixture
def environment(venues: dict[str, str]) -> dict[str, str]:
    """The environment of a page: a free port for the sandbox that it starts, and sandboxes for the venues."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    # As for a user, the path does not hold this environment.
    here = str(Path(sys.prefix) / "bin")
    path = os.pathsep.join(one for one in kept["PATH"].split(os.pathsep) if one != here)
    return {**kept, "PATH": path, "PORT": port, **venues}


@pytest.mark.parametrize("page", pages_with("sh"), ids=name_of)
def test_the_commands_of_a_page_work_as_written(
    page: Path, page_folder: Path, environment: dict[str, str]
) -> None:
    if page.stem in venue_names() and page.stem not in SANDBOXES:
        pytest.skip(f"{page.stem} has no sandbox")
    script = script_of(page, page_folder)
    done = subprocess.run(
        ["bash", "-x", "-c", script],
        cwd=page_folder, env=environment, capture_output=True, text=True, timeout=300, stdin=-3,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("page", pages_with("sh"), ids=name_of)
def test_every_command_of_a_page_accepts_its_options(page: Path) -> None:
    """Commands that need the venue included."""
    for block in blocks(page):
        for command in commands(block.text) if block.language == "sh" else ():
            name, *args = shlex.split(re.sub(r"\$\(.*?\)", "value", re.split(r" [>|] ", command)[0]))
            if name != "engine":
                continue
            with contextlib.suppress(click.exceptions.Exit):
                group = click.Context(cli)
                found = cli.get_command(group, args[0])
                assert found is not None, command
                while isinstance(found, click.Group):
                    args = args[1:]
                    found = found.get_command(group, args[0])
                    assert found is not None, command
                found.make_context(args[0], args[1:])


@pytest.mark.parametrize(
    ("language", "command"),
    [
        ("nginx", ["nginx", "-t", "-c"]),
        ("caddy", ["caddy", "adapt", "--adapter", "caddyfile", "--config"]),
    ],
)
def test_the_configuration_of_each_proxy_is_accepted_by_it(
    tmp_path: Path, language: str, command: list[str]
) -> None:
    (page,) = pages_with(language)
    (block,) = (block for block in blocks(page) if block.language == language)
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    text = block.text
    if language == "nginx":
        key, certificate = tmp_path / "key", tmp_path / "certificate"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "1"]
        subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        text = re.sub(r"/etc/ssl/\S+\.pem", str(certificate), re.sub(r"/etc/ssl/\S+\.key", str(key), text))
        text = f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n"
    (tmp_path / "proxy").write_text(text, encoding="utf-8")
    done = subprocess.run([program, *command[1:], tmp_path / "proxy"], capture_output=True, text=True)
    # nginx goes on to make the folders of its installation, which may be another user's.
    assert done.returncode == 0 or "syntax is ok" in done.stderr, done.stderr


def test_every_block_has_a_language() -> None:
    """So that every command is tested: `sh` is run, `text` is output, `python` and `toml` are files."""
    known = {"sh", "text", "python", "toml", "sql", "json", "hexdump", "nginx", "caddy", "console"}
    nameless = [
        f"{name_of(page)}: {block.text.splitlines()[0]}"
        for page in PAGES
        for block in blocks(page)
        if block.language not in known
    ]
    assert nameless == []
    commands_in_text = [
        f"{name_of(page)}: {line}"
        for page in PAGES
        for block in blocks(page)
        if block.language == "text"
        for line in block.text.splitlines()
        if re.match(r"(\$ )?(engine|make|\.venv/bin/\w+|python3?|pip) [a-z-]+( |$)", line)
    ]
    assert commands_in_text == []
