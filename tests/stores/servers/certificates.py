"""A certificate for servers on loopback, signed by itself, made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.stores.servers.running import Missing

__all__ = ["certificate"]


def certificate(folder: Path) -> Path:
    """Make `cert.pem`, `key.pem` and `both.pem` in a folder; return the first, which is what to trust."""
    if shutil.which("openssl") is None:
        raise Missing("openssl is missing")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "30", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", cert),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "both.pem").write_text(key.read_text() + cert.read_text())
    return cert
