"""How a mirror logs in to its broker: what its address says of user, password, token and certificates.

Promises that no error shows a secret. A password is not sent over a network without TLS where the protocol
would send it as it is. Called by `nats` and `kafka`.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from engine.config import nearest
from engine.errors import ConfigError
from engine.stores.settings import Address

__all__ = ["MECHANISMS", "Login", "login_of", "tls_context"]

MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
"""Ways to log in to Kafka; the first is the default."""

_FILES: Final = ("ca", "cert", "key")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class Login(msgspec.Struct, frozen=True):
    """What the address says. A user without a password is a token where `tokens` are known.

    `ca` is a file with the certificates that are trusted (default: those of the system), `cert` and `key` are
    files of this side's own certificate.
    """

    user: str = ""
    password: str = ""
    token: str = ""
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    mechanism: str = MECHANISMS[0]


def login_of(address: Address, *, tls: bool, tokens: bool) -> Login:
    """Return the login of an address. Raises ConfigError."""
    parts = address.parts
    known = _FILES if tokens else (*_FILES, "mechanism")
    found: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in known:
            raise ConfigError(f"url: there is no parameter {key!r}; {nearest(key, list(known))}")
        found[key] = value
    if found.keys() & set(_FILES) and not tls:
        raise ConfigError("url: certificates are of use with TLS only; change the scheme of the address")
    for key in _FILES:
        if key in found and not Path(found[key]).is_file():
            raise ConfigError(f"url: {key}: there is no file {found[key]}")
    if ("cert" in found) != ("key" in found):
        raise ConfigError("url: cert and key are needed together")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and parts.password is None and tokens:
        return Login(token=user, tls=tls, **found)
    if user and not password and not tokens:
        raise ConfigError("url: the user has no password; write kafka://USER:PASSWORD@HOST:PORT/TOPIC")
    if "mechanism" in found and found["mechanism"] not in MECHANISMS:
        raise ConfigError(f"url: mechanism: must be one of {', '.join(MECHANISMS)}")
    hosts = [one.rpartition(":")[0] or one for one in parts.netloc.rpartition("@")[2].split(",")]
    if found.get("mechanism") == "PLAIN" and not tls and not set(hosts) <= set(_LOOPBACK):
        raise ConfigError("url: PLAIN sends the password as it is; use kafka+ssl://, or a SCRAM mechanism")
    return Login(user=user, password=password, tls=tls, **found)


def tls_context(login: Login) -> ssl.SSLContext:
    """Return what checks the certificate of the broker, and shows this side's. Raises ConfigError."""
    try:
        context = ssl.create_default_context(cafile=login.ca or None)
        if login.cert:
            context.load_cert_chain(login.cert, login.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"url: the certificates cannot be read ({error})") from None
    return context
