"""User data of the local exchange: listen keys of futures, subscriptions of spot, and who gets which event.

Owns the connections of accounts. A futures key is valid for an hour after it was made or renewed; then its
connections get `listenKeyExpired` and no more events. Nothing is kept for a client that is not connected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import msgspec

from adapters.binance.sandbox.accounts import Account
from adapters.exchange.refusals import refuse

__all__ = ["UserClient", "UserData"]

VALID_MS: Final = 3_600_000
_encode = msgspec.json.Encoder().encode


class UserClient(Protocol):
    """A connected client."""

    def send(self, text: str) -> None: ...


class UserData:
    """See the module."""

    def __init__(self, accounts: Sequence[Account], *, spot: bool) -> None:
        self._accounts = accounts
        self._spot = spot
        self._keys: dict[str, tuple[Account, int]] = {}
        self._clients: dict[Any, tuple[Account, str]] = {}
        self._made = 0
        for account in accounts:
            account.send = self._sender(account)

    # Listen keys.

    def post(self, account: Account, params: dict[str, str], now_ms: int) -> Any:
        """Return the account's key: the one it has, or a new one."""
        self.expire(now_ms)
        for key, (owner, _) in self._keys.items():
            if owner is account:
                self._keys[key] = (account, now_ms + VALID_MS)
                return {"listenKey": key}
        self._made += 1
        key = f"{account.api_key[:20]}{self._made:044d}"
        self._keys[key] = (account, now_ms + VALID_MS)
        return {"listenKey": key}

    def put(self, account: Account, params: dict[str, str], now_ms: int) -> Any:
        """Renew the account's key. Raises Refusal without one."""
        self.expire(now_ms)
        if not any(owner is account for owner, _ in self._keys.values()):
            raise refuse(-1125, "This listenKey does not exist.")
        return self.post(account, params, now_ms)

    def delete(self, account: Account, params: dict[str, str], now_ms: int) -> Any:
        """Close the account's key."""
        self._keys = {key: one for key, one in self._keys.items() if one[0] is not account}
        return {}

    def expire(self, now_ms: int) -> None:
        """End keys that were not renewed."""
        for key, (_, until_ms) in list(self._keys.items()):
            if now_ms >= until_ms:
                del self._keys[key]
                for client, (_, with_key) in list(self._clients.items()):
                    if with_key == key:
                        del self._clients[client]
                        client.send(
                            _encode({"e": "listenKeyExpired", "E": now_ms, "listenKey": key}).decode()
                        )

    # Connections.

    def connected(self, client: Any, path: str, query: str) -> None:
        """Take a new connection; that of a futures key gets its account's events."""
        if self._spot:
            return
        key = parse_qs(query).get("listenKey", [path.rpartition("/")[2]])[0]
        if key in self._keys:
            self._clients[client] = (self._keys[key][0], key)

    def disconnected(self, client: Any) -> None:
        """Forget a connection."""
        self._clients.pop(client, None)

    def message(self, client: Any, text: str, now_ms: int, sign: Callable[[str, str], str]) -> None:
        """Process a request of a spot connection."""
        try:
            request = msgspec.json.decode(text)
            number, method, params = request["id"], request["method"], request.get("params", {})
            given = dict(params)
            signature = given.pop("signature", "")
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
            client.send('{"id":null,"status":400,"error":{"code":-1100,"msg":"Illegal characters found."}}')
            return
        account = next((one for one in self._accounts if one.api_key == given.get("apiKey")), None)
        payload = "&".join(f"{name}={value}" for name, value in sorted(given.items()))
        fresh = abs(now_ms - int(given.get("timestamp", 0))) <= 60_000
        if method != "userDataStream.subscribe.signature":
            error: Any = {"code": -1020, "msg": "This operation is not supported."}
        elif account is None:
            error = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
        elif sign(account.secret, payload) != signature:
            error = {"code": -1022, "msg": "Signature for this request is not valid."}
        elif not fresh:
            error = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
        else:
            self._clients[client] = (account, "")
            client.send(_encode({"id": number, "status": 200, "result": {"subscriptionId": 0}}).decode())
            return
        client.send(_encode({"id": number, "status": 400, "error": error}).decode())

    def _sender(self, account: Account) -> Callable[[dict[str, Any]], None]:
        def send(event: dict[str, Any]) -> None:
            sent = {"subscriptionId": 0, "event": event} if self._spot else event
            text = _encode(sent).decode()
            for client, (owner, _) in list(self._clients.items()):
                if owner is account:
                    client.send(text)

        return send
