"""Signatures equal the venue's vectors, and show who made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hyperliquid.signing import (
    action_hash,
    address_of,
    agent_digest,
    recover_l1_signer,
    sign_l1_action,
)
from engine.errors import UsageError

VECTORS = (
    Path(__file__).resolve().parents[3] / "shared" / "exchanges" / "hyperliquid" / "signing-vectors.json"
)
KEY = "0x" + "11" * 32
ORDER = {
    "type": "order",
    "orders": [{"a": 1, "b": True, "p": "100", "s": "100", "r": False, "t": {"limit": {"tif": "Gtc"}}}],
    "grouping": "na",
}


def vectors(kind: str) -> list[Any]:
    """Return one parameter per vector, or none if the references are absent."""
    if not VECTORS.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="the venue's vectors are not here"))]
    return [pytest.param(one, id=one["id"]) for one in json.loads(VECTORS.read_text())[kind]]


def padded(signature: dict[str, Any]) -> tuple[int, int, int]:
    return int(signature["r"], 16), int(signature["s"], 16), signature["v"]


@pytest.mark.parametrize("vector", vectors("l1_action_hash_vectors"))
def test_the_hash_of_an_action_is_the_venues(vector: dict[str, Any]) -> None:
    found = action_hash(vector["action"], vector["nonce"], vector["vault_address"], vector["expires_after"])
    assert "0x" + found.hex() == vector["expected_action_hash"]


@pytest.mark.parametrize("vector", vectors("phantom_agent_vectors"))
def test_the_digest_of_an_agent_message_is_the_venues(vector: dict[str, Any]) -> None:
    connection_id = bytes.fromhex(vector["connection_id"].removeprefix("0x"))
    for network, expected in vector["networks"].items():
        digest = agent_digest(connection_id, network == "mainnet")
        assert "0x" + digest.hex() == expected["eip712_digest"]


@pytest.mark.parametrize("network", ["mainnet", "testnet"])
@pytest.mark.parametrize("vector", vectors("l1_signature_vectors"))
def test_a_signature_is_the_venues_on_both_networks(vector: dict[str, Any], network: str) -> None:
    options = (vector["nonce"], vector["vault_address"], vector["expires_after"], network == "mainnet")
    if network not in vector["networks"]:
        pytest.skip("the source has no vector for this network")
    signature = sign_l1_action(vector["private_key"], vector["action"], *options)
    expected = vector["networks"][network]
    assert signature == expected["signature_padded"]
    assert address_of(vector["private_key"]) == vector["signer_address"].lower()
    for form in ("signature_padded", "signature_as_in_source"):
        found = recover_l1_signer(vector["action"], expected[form], *options)
        assert found == vector["signer_address"].lower()


def test_the_signature_depends_on_network_vault_expiry_nonce_and_order_of_members() -> None:
    seen = {
        padded(dict(signature))
        for signature in (
            sign_l1_action(KEY, ORDER, 1, None, None, True),
            sign_l1_action(KEY, ORDER, 1, None, None, False),
            sign_l1_action(KEY, ORDER, 2, None, None, False),
            sign_l1_action(KEY, ORDER, 1, "0x" + "22" * 20, None, False),
            sign_l1_action(KEY, ORDER, 1, None, 5, False),
            sign_l1_action(KEY, dict(reversed(ORDER.items())), 1, None, None, False),
        )
    }
    assert len(seen) == 6


@given(nonce=st.integers(0, 2**63 - 1), expiry=st.none() | st.integers(0, 2**63 - 1), vault=st.booleans())
def test_the_signer_is_recovered_with_any_options(nonce: int, expiry: int | None, vault: bool) -> None:
    address = "0x" + "Ab" * 20 if vault else None
    signature = sign_l1_action(KEY, ORDER, nonce, address, expiry, False)
    unpadded = {**signature, "r": hex(int(signature["r"], 16)), "s": hex(int(signature["s"], 16))}
    assert recover_l1_signer(ORDER, unpadded, nonce, address, expiry, False) == address_of(KEY)


@pytest.mark.parametrize("key", ["", "0x", "11" * 31, "zz" * 32, "0x" + "00" * 32, "11" * 33])
def test_s01_the_error_of_an_invalid_key_does_not_show_it(key: str) -> None:
    for attempt in (lambda: address_of(key), lambda: sign_l1_action(key, ORDER, 1, None, None, False)):
        with pytest.raises(UsageError) as refusal:
            attempt()
        assert refusal.value.__cause__ is None
        assert not key.strip("0x") or key not in str(refusal.value)


@pytest.mark.parametrize(
    "signature", [{}, {"r": "0x", "s": "0x1", "v": 27}, {"r": "0x0", "s": "0x0", "v": 99}, {"r": 1}]
)
def test_an_invalid_signature_is_refused(signature: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not a signature"):
        recover_l1_signer(ORDER, signature, 1, None, None, False)
