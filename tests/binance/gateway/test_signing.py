"""Requests are encoded first and signed as they are sent: the known answers of the venue and of RFC 8032."""

from __future__ import annotations

import base64

import httpx
import pytest
from trio.abc import Clock

from adapters.binance.gateway.keys import Signer
from adapters.binance.gateway.rest import Rest
from adapters.binance.gateway.signing import (
    ed25519_signer,
    hmac_signer,
    query_of,
    signed_params,
    signed_query,
)
from adapters.transport.governor import BudgetSpent, Governor, Priority
from adapters.transport.outcomes import Done
from engine.errors import UsageError
from tests.binance.gateway.kit import LIMITS

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
FULL_WIDTH = "".join(chr(0xFF10 + digit) for digit in (1, 2, 3, 4, 5, 6))
"""The digits 1 to 6 in full width, as in the venue's example."""

ORDER: dict[str, str | int] = {
    "symbol": "LTCBTC",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": 1,
    "price": "0.1",
    "recvWindow": 5000,
    "timestamp": 1499827319559,
}
PLAIN = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
WIDE = "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"

# RFC 8032, section 7.1, test 3: secret key, message, signature.
SEED = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"


def pem(seed: str = SEED) -> str:
    """Return an Ed25519 key in PEM."""
    der = bytes.fromhex("302e020100300506032b657004220420" + seed)
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(der).decode()}\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(("symbol", "signature"), [("LTCBTC", PLAIN), (FULL_WIDTH, WIDE)])
def test_the_documented_signatures(symbol: str, signature: str) -> None:
    query = signed_query({**ORDER, "symbol": symbol}, hmac_signer(SECRET))
    assert query.endswith(f"&signature={signature}")
    assert query.isascii()
    assert Signer("k" * 64 + " " + SECRET).query({**ORDER, "symbol": symbol}) == query


def test_ed25519_signs_as_in_rfc_8032() -> None:
    pytest.importorskip("cryptography")
    # Test 1: the empty message.
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    known = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    assert base64.b64decode(ed25519_signer(pem(seed))("")).hex() == known
    flat = pem(seed).replace("\n", " ")
    assert ed25519_signer(flat)("") == ed25519_signer(pem(seed))("")


@pytest.mark.parametrize("text", ["-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "x", ""])
def test_a_text_that_is_no_ed25519_key_is_refused(text: str) -> None:
    pytest.importorskip("cryptography")
    with pytest.raises(UsageError, match="not an Ed25519 key"):
        ed25519_signer(text)


def test_the_websocket_signs_its_parameters_by_name() -> None:
    params = signed_params({"timestamp": 2, "apiKey": "a"}, lambda payload: f"<{payload}>")
    assert params == {"timestamp": 2, "apiKey": "a", "signature": "<apiKey=a&timestamp=2>"}


async def test_orders_keep_weight_for_queries_and_readings_of_the_account(autojump_clock: Clock) -> None:
    governor = Governor(LIMITS)
    rest = Rest("http://127.0.0.1:1", Signer("k" * 64 + "\n" + SECRET, "main"), governor, lambda: 1)
    whole = LIMITS.weight.amount
    await governor.weigh(whole * 2 // 5, Priority.MARKET)
    with pytest.raises(BudgetSpent):
        await governor.weigh(1, Priority.MARKET, within_s=1)
    await governor.weigh(whole // 5, Priority.ACCOUNT, within_s=0)
    await rest.aclose()


async def test_the_bytes_that_are_signed_are_the_bytes_that_are_sent() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    signer = Signer("k" * 64 + "\n" + SECRET, "main")
    rest = Rest(
        "http://127.0.0.1:1",
        signer,
        Governor(LIMITS),
        lambda: 1_700_000_000_000,
        transport=httpx.MockTransport(answer),
    )
    params: dict[str, str | int] = {"symbol": FULL_WIDTH[:3] + "+ &", "note": "a=b/c%20~"}
    outcome = await rest.act("POST", "/api/v3/order", params, Priority.ORDER)
    await rest.aclose()
    assert isinstance(outcome, Done)
    path, _, query = seen[0].url.raw_path.decode().partition("?")
    payload, _, signature = query.rpartition("&signature=")
    assert path == "/api/v3/order"
    assert payload == query_of({**params, "recvWindow": 60_000, "timestamp": 1_700_000_000_000})
    assert signature == hmac_signer(SECRET)(payload)
    assert seen[0].headers["x-mbx-apikey"] == "k" * 64
    assert seen[0].content == b""
