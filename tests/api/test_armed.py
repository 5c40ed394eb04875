"""No answer of an armed engine holds the key of its account."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engine.api.sockets import short_path
from engine.views.answers import ANSWERS
from tests.commands.kit import PATIENCE_S, sandbox, start
from tests.commands.test_arming import ADDRESS, KEY, options, write_config


@pytest.fixture(scope="module")
def venue() -> Iterator[str]:
    with sandbox("--account", f"{ADDRESS}:50000", "--maker", "--speed", "10", "--rate-limit", "off") as url:
        yield url


def test_no_answer_holds_the_key_or_the_token(venue: str, tmp_path: Path) -> None:
    root = tmp_path / "j"
    armed = options(write_config(tmp_path), venue, "--arm", "--journal", str(root), "--dashboard", ":0")
    session = start("live", *armed, "--for", "120s")
    try:
        assert session.stdout is not None
        token = json.loads(session.stdout.readline())["dashboard"].partition("token=")[2]
        with short_path(root / "engine.sock") as socket:
            client = httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=PATIENCE_S)
        with client:
            seen = _everything(client)
    finally:
        session.kill()
        session.communicate()
    assert ADDRESS.lower().encode() in seen.lower(), "the account is shown"
    assert b"key_file" in seen, "and so is the name of the file"
    for secret in (KEY[2:], token):
        assert secret.encode() not in seen


def _everything(client: httpx.Client) -> bytes:
    """Return all answers, once the session trades, and the start of the stream."""
    end = time.monotonic() + PATIENCE_S
    while True:
        reply = client.get("http://engine/api/status")
        if reply.status_code == 200 and reply.json()["fills_today"]:
            break
        assert time.monotonic() < end, reply.content
        time.sleep(0.05)
    status = reply.json()
    assert (status["armed"], status["mode"], status["network"]) == (True, "live", "sandbox")
    seen = reply.content
    queries = {
        "bars": "?instrument=BTC&interval=5s",
        "events": "?limit=2000&fields=true",
        **dict.fromkeys(("book", "trades", "flow", "liquidations", "contexts"), "?instrument=BTC"),
    }
    for name in ANSWERS:
        target = f"{name}/3" if name == "why" else name + queries.get(name, "")
        reply = client.get(f"http://engine/api/{target}")
        assert reply.status_code in (200, 400), reply.content
        seen += reply.content
    for name in ("session", "openapi.json", "nothing"):
        seen += client.get(f"http://engine/api/{name}").content
    nonce = {
        "command": "set",
        "strategy": "Busy",
        "name": "x",
        "value": 1,
        "nonce": "n",
        "journal": status["journal"],
    }
    seen += client.post("http://engine/api/commands", json=nonce).content
    with client.stream("GET", "http://engine/api/stream") as stream:
        for part in stream.iter_bytes():
            seen += part
            if len(re.findall(rb"event: ", seen)) > 20:
                break
    return seen
