"""Our signatures are those of the venue's own client, on actions that its own functions build."""

from __future__ import annotations

import json
from typing import Any

from eth_account import Account
from hyperliquid.utils import signing as sdk
from hyperliquid.utils.types import Cloid
from hypothesis import given
from hypothesis import strategies as st

from adapters.hyperliquid.signing import address_of, recover_l1_signer, sign_l1_action
from adapters.sandbox.exchange.actions import canonical, parse_request
from tests.profiles import examples

KEY_MAX = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364140
"""One less than the order of the curve."""

assets = st.integers(0, 12_000) | st.integers(110_000, 200_000) | st.integers(100_000_000, 2**32)
oids = st.integers(0, 2**53)
numbers = st.builds(lambda whole, places: whole / 10**places, st.integers(1, 10**9), st.integers(0, 8))
"""Numbers that the client accepts: floats of at most 8 decimals, which it refuses to round."""

cloids = st.integers(0, 2**128 - 1).map(Cloid.from_int)
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
cased = st.tuples(addresses, st.booleans()).map(lambda one: "0x" + one[0][2:].upper() if one[1] else one[0])
times = st.integers(0, 2**63 - 1) | st.integers(1_600_000_000_000, 2_000_000_000_000)


def members(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A part of an action, its members in the order given: the order is signed."""
    return st.tuples(*strategies.values()).map(lambda drawn: dict(zip(strategies, drawn, strict=True)))


limits = st.builds(lambda tif: {"limit": {"tif": tif}}, st.sampled_from(["Gtc", "Ioc", "Alo"]))
triggers = st.builds(
    lambda market, price, kind: {"trigger": {"isMarket": market, "triggerPx": price, "tpsl": kind}},
    st.booleans(),
    numbers,
    st.sampled_from(["tp", "sl"]),
)


@st.composite
def order_wires(draw: st.DrawFn) -> Any:
    """Return one order in the client's own wire form."""
    request: Any = {
        "coin": "BTC",
        "is_buy": draw(st.booleans()),
        "sz": draw(numbers),
        "limit_px": draw(numbers),
        "order_type": draw(limits | triggers),
        "reduce_only": draw(st.booleans()),
        "cloid": draw(st.none() | cloids),
    }
    return sdk.order_request_to_order_wire(request, draw(assets))


builders = st.none() | members(b=addresses, f=st.integers(0, 1000))
orders = st.builds(
    sdk.order_wires_to_order_action,
    st.lists(order_wires(), min_size=1, max_size=4),
    builders,
    st.sampled_from(["na", "normalTpsl", "positionTpsl"]),
)


def tagged(kind: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return members(type=st.just(kind), **more)


def some(**entry: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(members(**entry), min_size=1, max_size=4)


raw_cloids = cloids.map(Cloid.to_raw)
actions = (
    orders
    | tagged("cancel", cancels=some(a=assets, o=oids))
    | tagged("cancelByCloid", cancels=some(asset=assets, cloid=raw_cloids))
    | tagged("batchModify", modifies=some(oid=oids | raw_cloids, order=order_wires()))
    | tagged("scheduleCancel")
    | tagged("scheduleCancel", time=times)
    | tagged("updateLeverage", asset=assets, isCross=st.booleans(), leverage=st.integers(1, 100))
    | tagged(
        "updateIsolatedMargin",
        asset=assets,
        isBuy=st.just(True),
        ntli=st.integers(-(10**7), 10**7).map(lambda cents: sdk.float_to_usd_int(cents / 100)),
    )
    | tagged("noop")
)
"""Actions of a trader, as the client's `Exchange` builds them."""

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=20,
)
"""Every form that an action of the client can have: deep, empty, long, null. It packs no floats."""

keys = st.integers(1, KEY_MAX).map(lambda key: f"0x{key:064x}")


def padded(signature: Any) -> tuple[str, str, int]:
    """The client drops leading zeros of `r` and `s`."""
    return f"0x{int(signature['r'], 16):064x}", f"0x{int(signature['s'], 16):064x}", signature["v"]


def client_signs(key: str, action: Any, nonce: int, vault: str | None, expiry: int | None, main: bool) -> Any:
    return sdk.sign_l1_action(Account.from_key(key), action, vault, nonce, expiry, main)


@examples(2)
@given(
    key=keys,
    action=actions,
    nonce=times,
    vault=st.none() | cased,
    expiry=st.none() | times,
    main=st.booleans(),
)
def test_every_action_is_signed_as_the_venues_client_signs_it(
    key: str, action: Any, nonce: int, vault: str | None, expiry: int | None, main: bool
) -> None:
    ours = sign_l1_action(key, action, nonce, vault, expiry, main)
    theirs = client_signs(key, action, nonce, vault, expiry, main)
    assert (ours["r"], ours["s"], ours["v"]) == padded(theirs)


@given(action=st.dictionaries(st.text(max_size=40), anything, max_size=20), nonce=times)
def test_an_action_of_any_form_is_packed_as_the_venues_client_packs_it(action: Any, nonce: int) -> None:
    key = "0x" + "11" * 32
    ours = sign_l1_action(key, action, nonce, None, None, False)
    assert (ours["r"], ours["s"], ours["v"]) == padded(client_signs(key, action, nonce, None, None, False))


@given(
    key=keys,
    action=actions,
    nonce=times,
    vault=st.none() | cased,
    expiry=st.none() | times,
    main=st.booleans(),
)
def test_the_sandbox_finds_the_signer_of_whatever_the_venues_client_sends(
    key: str, action: Any, nonce: int, vault: str | None, expiry: int | None, main: bool
) -> None:
    """It rebuilds the action from JSON; leading zeros of `r` and `s` may be missing."""
    signature = client_signs(key, action, nonce, vault, expiry, main)
    body = {
        "action": action,
        "nonce": nonce,
        "signature": signature,
        "vaultAddress": vault,
        "expiresAfter": expiry,
    }
    request = parse_request(json.dumps(body).encode())
    rebuilt = canonical(request.action)
    assert recover_l1_signer(
        rebuilt, signature, request.nonce, request.vault_address, request.expires_after, main
    ) == address_of(key)
