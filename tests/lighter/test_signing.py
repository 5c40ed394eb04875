"""What Lighter's own client signs is what we would sign: public vectors, and what its library returned."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.lighter import schnorr
from adapters.lighter.poseidon import P, hash_to_element, permute
from adapters.lighter.schnorr import ORDER, PublicKey, Signature, challenge, from_bytes, public_key, sign
from adapters.lighter.signing import (
    CHAINS,
    MARKET,
    SKIPS_NONCE,
    LighterKey,
    Transaction,
    hash_text,
    hash_transaction,
)
from engine.errors import UsageError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "frames" / "lighter" / "signing-vectors.json").read_text("utf-8")
)
KEYS = VECTORS["keys"]


def number(limbs: list[int]) -> int:
    return sum(limb << 64 * place for place, limb in enumerate(limbs))


def private(key: dict[str, Any]) -> int:
    return int.from_bytes(bytes.fromhex(key["private"][2:]), "little")


def is_valid(key: int, message: schnorr.Element, data: bytes) -> bool:
    """Return whether a signature is right: from a key, the point of `s` and `e` is its own multiple."""
    s, e = int.from_bytes(data[:40], "little"), int.from_bytes(data[40:], "little")
    return len(data) == 80 and challenge(public_key((s + e * key) % ORDER), message) == e


def key_of(row: dict[str, Any]) -> LighterKey:
    return LighterKey(row["private"], row["account_index"], row["api_key_index"])


def transaction_of(row: dict[str, Any]) -> Transaction:
    info = row["info"]
    options = {int(kind): value for kind, value in (info["L2TxAttributes"] or {}).items()}
    return Transaction(row["kind"], info, info["Nonce"], info["ExpiredAt"], options)


def test_the_permutation_is_that_of_the_venue() -> None:
    given_state, expected = VECTORS["permutation"]
    assert permute(given_state) == expected


@pytest.mark.parametrize("row", VECTORS["schnorr"])
def test_public_vectors_of_signatures(row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """They name the random number of the signature; ours is derived."""
    key, message = number(row["key"]), tuple(row["message"])

    class Drawn:
        def __init__(self, _: bytes) -> None:
            pass

        def digest(self, size: int) -> bytes:
            return number(row["nonce"]).to_bytes(size, "little")

    monkeypatch.setattr(schnorr, "shake_256", Drawn)
    assert sign(key, message) == Signature(number(row["s"]), number(row["e"]))


@pytest.mark.parametrize("row", KEYS)
def test_the_public_part_of_a_key(row: dict[str, Any]) -> None:
    assert key_of(row).public == row["public"]


@pytest.mark.parametrize(
    "row", VECTORS["transactions"], ids=lambda row: f"{row['kind']}-{row['info']['Nonce']}"
)
def test_a_transaction_is_hashed_signed_and_written_as_the_venues_client_does(row: dict[str, Any]) -> None:
    owner = KEYS[row["key"]]
    transaction = transaction_of(row)
    digest = hash_transaction(transaction, owner["chain"])
    assert schnorr.to_bytes(digest).hex() == row["hash"]
    assert is_valid(private(owner), digest, base64.b64decode(row["info"]["Sig"])), "theirs"
    signed = key_of(owner).sign(transaction, owner["chain"])
    assert (signed.tx_type, signed.hash) == (row["type"], row["hash"])
    info = json.loads(signed.tx_info)
    assert is_valid(private(owner), digest, base64.b64decode(info["Sig"])), "ours"
    assert list(info) == list(row["info"])
    assert {**info, "Sig": ""} == {**row["info"], "Sig": ""}


@pytest.mark.parametrize("row", VECTORS["tokens"])
def test_a_token_is_that_of_the_venues_client(row: dict[str, Any]) -> None:
    owner = KEYS[row["key"]]
    text, _, signature = row["token"].rpartition(":")
    assert is_valid(private(owner), hash_text(text), bytes.fromhex(signature)), "theirs"
    ours = key_of(owner).token(int(text.partition(":")[0]))
    assert ours.startswith(f"{text}:")
    assert is_valid(private(owner), hash_text(text), bytes.fromhex(ours.rpartition(":")[2]))


@given(st.integers(1, ORDER - 1), st.lists(st.integers(0, P - 1), max_size=20))
def test_any_signature_is_valid_for_its_own_message_and_key_only(key: int, numbers: list[int]) -> None:
    message = hash_to_element(numbers)
    signature = sign(key, message)
    assert signature == sign(key, message), "nothing is drawn"
    assert is_valid(key, message, signature.to_bytes())
    assert not is_valid(key, hash_to_element([*numbers, 1]), signature.to_bytes())
    assert not is_valid(key % (ORDER - 1) + 1, message, signature.to_bytes())


def test_every_member_the_chain_and_the_attributes_are_part_of_the_hash() -> None:
    row = next(row for row in VECTORS["transactions"] if row["kind"] == "create")
    transaction, chain = transaction_of(row), CHAINS["mainnet"]
    names = [name for name, value in row["info"].items() if isinstance(value, int)]
    changed = [
        transaction_of({**row, "info": {**row["info"], name: row["info"][name] + 1}}) for name in names
    ]
    hashes = {hash_transaction(one, chain) for one in (transaction, *changed)}
    hashes.add(hash_transaction(transaction, CHAINS["testnet"]))
    members = (row["info"], 5, transaction.expires_ms)
    hashes.add(hash_transaction(Transaction("create", *members, {SKIPS_NONCE: 1}), chain))
    hashes.add(hash_transaction(Transaction("create", *members, {MARKET: 0}), chain))
    assert len(hashes) == len(names) + 4


@pytest.mark.parametrize("row", VECTORS["transactions"][::7])
def test_a_public_key_checks_the_signatures_of_the_venues_client(row: dict[str, Any]) -> None:
    owner, other = (bytes.fromhex(KEYS[key]["public"][2:]) for key in (row["key"], 1 - row["key"]))
    digest = hash_transaction(transaction_of(row), KEYS[row["key"]]["chain"])
    signature = base64.b64decode(row["info"]["Sig"])
    key = PublicKey(from_bytes(owner))
    assert key.verifies(digest, signature)
    assert not PublicKey(from_bytes(other)).verifies(digest, signature)
    assert not key.verifies(hash_text("another"), signature)
    for at in (0, 79):
        wrong = bytearray(signature)
        wrong[at] ^= 1
        assert not key.verifies(digest, bytes(wrong))
    assert not key.verifies(digest, signature[:79])


@pytest.mark.parametrize("key", [1, 2, 3, 12345, ORDER - 1])
def test_a_public_key_is_decoded_to_its_point(key: int) -> None:
    message = hash_text(str(key))
    assert PublicKey(public_key(key)).verifies(message, sign(key, message).to_bytes())


def test_a_number_that_is_no_point_is_no_public_key() -> None:
    refused = 0
    for number in range(1, 20):
        try:
            PublicKey((number, 1, 2, 3, 4))
        except ValueError:
            refused += 1
    assert 4 < refused < 15, "half of all numbers encode no point"
    for data in (b"", b"\xff" * 40, bytes(39)):
        with pytest.raises(ValueError, match="not 40 bytes"):
            from_bytes(data)


def test_what_no_vector_proves_is_refused() -> None:
    for kind, options in (("withdraw", {}), ("create", {1: 7}), ("create", {9: 1})):
        with pytest.raises(UsageError, match="is not known"):
            Transaction(kind, {}, 1, 2, options)
    with pytest.raises(UsageError, match="4 attributes at most"):
        Transaction("create", {}, 1, 2, {4: 1, 5: 1, 6: 1, 7: 1, 8: 1})


@pytest.mark.parametrize("text", ["", "0x12", "0x" + "0" * 80, "0x" + "f" * 80, "0x" + "zz" * 40])
def test_a_key_that_is_none_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UsageError) as error:
        LighterKey(text, 1, 4)
    assert str(error.value) == "the API key of lighter is 0x and 80 hex digits"


def test_a_key_is_never_shown_or_copied() -> None:
    key = key_of(KEYS[0])
    secret = KEYS[0]["private"][2:]
    assert secret not in repr(key) + str(key) + f"{key!r:>200}"
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied"):
            copied(key)
