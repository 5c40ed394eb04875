"""The description is what is sent: every path is in it, and every answer fits its schema."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.api.openapi import description
from engine.api.problems import CODES, Problem
from engine.views.answers import ANSWERS, MESSAGES
from tests.api.kit import QUESTIONS, Served, serving

DESCRIPTION: dict[str, Any] = json.loads(description())


def fits(value: Any, schema: dict[str, Any]) -> str:
    """Return where a value does not fit a JSON schema, "" if it does. Knows what msgspec generates."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        found: dict[str, Any] = DESCRIPTION["components"]["schemas"][name]
        return fits(value, found)
    if "anyOf" in schema:
        tried = [fits(value, one) for one in schema["anyOf"]]
        return "" if "" in tried else "; ".join(tried)
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is not in {schema['enum']}"
    kinds = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
        "array": list,
        "object": dict,
    }
    kind = schema.get("type")
    if kind is None:
        return ""
    if not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return f"{value!r} is not {kind}"
    if kind == "array":
        prefix = schema.get("prefixItems", [])
        items = schema.get("items", {})
        if items is False and len(value) != len(prefix):
            return f"{value!r} has not {len(prefix)} items"
        for number, one in enumerate(value):
            part = prefix[number] if number < len(prefix) else items
            if part and (wrong := fits(one, part)):
                return f"[{number}]{wrong}"
    if kind == "object":
        known = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                return f".{name} is missing"
        for name, one in value.items():
            if name not in known and not schema.get("additionalProperties"):
                return f".{name} is not described"
            if name in known and (wrong := fits(one, known[name])):
                return f".{name}{wrong}"
    return ""


def answer_schema(path: str, method: str = "get", status: str = "200") -> dict[str, Any]:
    found: dict[str, Any] = DESCRIPTION["paths"][path][method]["responses"][status]
    schema: dict[str, Any] = next(iter(found["content"].values()))["schema"]
    return schema


def test_every_path_and_message_is_described() -> None:
    paths = {f"/api/{name}" for name in ANSWERS if name != "why"} | {"/api/why/{seq}"}
    others = {"/api/session", "/api/stream", "/api/login", "/api/logout", "/api/link", "/api/commands"}
    assert set(DESCRIPTION["paths"]) == paths | others
    assert set(DESCRIPTION["paths"]["/api/stream"]["get"]["responses"]["200"]["x-kinds"]) == set(MESSAGES)


def test_every_reference_of_the_description_is_in_it() -> None:
    names = set(re.findall(r"'#/components/schemas/(\w+)'", repr(DESCRIPTION)))
    assert names <= set(DESCRIPTION["components"]["schemas"])


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1, {"type": "string"}),
        (True, {"type": "integer"}),
        ({}, {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
        ({"b": 1}, {"type": "object", "properties": {}}),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}),
        (None, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    ],
)
def test_the_check_finds_what_does_not_fit(value: Any, schema: dict[str, Any]) -> None:
    assert fits(value, schema)


async def test_answers_problems_and_the_greeting_fit_their_schemas(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.tick(3)
        await served.settled()
        for name in (*QUESTIONS, "session"):
            reply = await served.ask(f"/api/{name}", unix=True)
            assert reply.status == 200, reply.body
            assert fits(reply.json, answer_schema(f"/api/{name}")) == ""
            assert (reply.json["journal"], reply.json["seq"]) == (served.journal, 3)
        for target in ("/api/bars", "/api/book?instrument=none", "/api/nothing", "/api/status?x=1"):
            reply = await served.ask(target, unix=True)
            assert fits(reply.json, answer_schema("/api/status", status="default")) == ""
            assert reply.status == CODES[reply.code]
        await _posts_fit(served)
        described_now = await served.ask("/api/openapi.json", unix=True)
        assert described_now.json == DESCRIPTION


async def _posts_fit(served: Served) -> None:
    assert fits((await served.login()).json, answer_schema("/api/login", "post")) == ""
    link = await served.ask("/api/link", method="POST", unix=True)
    assert fits(link.json, answer_schema("/api/link", "post")) == ""
    assert (
        fits((await served.ask("/api/logout", method="POST")).json, answer_schema("/api/logout", "post"))
        == ""
    )


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=99999999999999999999",
        "limit=1e3",
        "limit=",
        "limit=x",
        "limit=1&limit=2",
        "unknown=1",
        "after=-1",
        "before=%00",
        "after=" + "9" * 300,
        "journal=a&journal=b",
    ],
)
async def test_an_absurd_query_is_refused(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path, tcp=False) as served:
        await served.settled()
        assert (await served.ask(f"/api/fills?{query}", unix=True)).code == "bad_query"


async def test_another_journal_is_refused_on_every_path(tmp_path: Path) -> None:
    async with serving(tmp_path, tcp=False) as served:
        await served.settled()
        for name in ("status", "fills", "stream", "session"):
            reply = await served.ask(f"/api/{name}?journal={'0' * 32}", unix=True)
            assert (reply.status, reply.code, reply.json["journal"]) == (409, "other_journal", served.journal)
            if name != "stream":
                assert (await served.ask(f"/api/{name}?journal={served.journal}", unix=True)).status == 200
        body = {"command": "pause", "all": True, "nonce": "n", "journal": "0" * 32}
        reply = await served.ask("/api/commands", method="POST", body=body, unix=True)
        assert (reply.status, reply.code) == (409, "other_journal")


def test_every_code_has_one_status() -> None:
    for code, status in CODES.items():
        assert 400 <= status < 600
        assert Problem(code, "").status == status
