"""The dashboard: one page of plain HTML, one style sheet, and JavaScript modules. There is no build step.

`assets` reads every file that the page consists of, with the path that the server answers for it. None of
them holds data, so they are served without a session. The chart library, TradingView's Lightweight Charts,
is read from the installed package `litecharts`; no copy of it is in this project. `docs/dashboard.md`
describes the page for its users; `engine/api/app.py` serves it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["CONTENT_SECURITY_POLICY", "Asset", "assets", "chart_library"]

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; "
    # The hash is that of the style of the chart library's attribution logo.
    "style-src 'self' 'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and do. It holds no inline script, style or handler."""

_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(msgspec.Struct, frozen=True):
    """One file of the page."""

    body: bytes
    media_type: str


def assets() -> dict[str, Asset]:
    """Return every file of the page by its path; "/" is the page itself."""
    found = {"/page/lightweight-charts.js": Asset(chart_library().read_bytes(), _MEDIA_TYPES[".js"])}
    for file in sorted(Path(__file__).parent.iterdir()):
        if file.suffix in _MEDIA_TYPES:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            found[path] = Asset(file.read_bytes(), _MEDIA_TYPES[file.suffix])
    return found


def chart_library() -> Path:
    """Return the script of the chart library in the installed package, which is not imported for it."""
    spec = find_spec("litecharts")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package litecharts is not installed; run: pip install litecharts==0.2.0")
    return Path(spec.origin).parent / "js" / "lightweight-charts.js"
