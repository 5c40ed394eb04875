"""Requests are signed as the venue's own client signs them; every part of a request counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.apex.signing import body_of, sign_request

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "frames" / "apex" / "signing-vectors.json").read_text("utf-8")
)
REQUESTS = VECTORS["requests"]


def signature(row: dict[str, Any], secret: str = VECTORS["secret"]) -> str:
    return sign_request(secret, row["time_ms"], row["method"], row["path"], row["form"])


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row["path"])
def test_a_request_has_the_signature_of_the_venues_client(row: dict[str, Any]) -> None:
    assert signature(row) == row["signature"]
    turned = {**row, "form": dict(reversed(list(row["form"].items())))}
    assert signature(turned) == row["signature"], "whatever the order of its members"


def test_every_part_of_a_request_is_signed_and_the_body_is_sorted() -> None:
    row = REQUESTS[1]
    assert body_of(row["form"]).startswith("brokerId=6956&clientId=apexomni-")
    changed = [
        {**row, "time_ms": row["time_ms"] + 1},
        {**row, "method": "PUT"},
        {**row, "path": row["path"] + "?"},
        *({**row, "form": {**row["form"], name: "1"}} for name in row["form"]),
    ]
    found = {signature(one) for one in (row, *changed)} | {signature(row, "another")}
    assert len(found) == len(changed) + 2
