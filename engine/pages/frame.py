"""The document of every page: one file that loads nothing and runs only its own scripts.

Owns the frame, its style sheet, and the policy: `default-src 'none'`, and the hash of each style and script
that the file holds, so that nothing else in it could run. Called by the pages of reports, comparisons and
sweeps.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from engine.api.page import chart_library
from engine.pages.markup import Child, Markup, data_block, joined, tag

__all__ = ["GENERATOR", "chart_scripts", "content_security_policy", "document", "is_ours", "part"]

GENERATOR: Final = "retape"

_LOGO_STYLE: Final = "'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='"
"""The style of the chart library's attribution logo, which the library adds itself."""

_OPENING: Final = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    f'<meta name="generator" content="{GENERATOR}">'
)


@cache
def part(name: str) -> str:
    """Return a style sheet or script of this package, such as "page.js"."""
    return (Path(__file__).parent / name).read_text("utf-8")


@cache
def chart_scripts() -> tuple[str, ...]:
    """Return the chart library, read from its installed package, and the code of our charts."""
    return chart_library().read_text("utf-8"), part("charts.js")


def is_ours(head: str) -> bool:
    """Return whether a file that begins with this text is one of these pages."""
    return head.startswith(_OPENING)


def document(
    title: str,
    *body: Child,
    data: Mapping[str, object] | None = None,
    scripts: Sequence[str] = (),
) -> str:
    """Return a page. `data` becomes JSON by id, `scripts` run in their order after it.

    Every page has the shared style sheet, and `page.js`: tables that sort, and buttons that copy.
    """
    style = part("style.css")
    code = [part("page.js"), *scripts]
    policy = content_security_policy([style], code)
    return joined(
        Markup(_OPENING),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        Markup(f"<style>{_whole(style, 'style')}</style></head>\n<body>"),
        *body,
        *(data_block(name, value) for name, value in (data or {}).items()),
        *(Markup(f"\n<script>{_whole(one, 'script')}</script>") for one in code),
        Markup("</body></html>\n"),
    )


def content_security_policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return the policy of a page that holds these texts and nothing else."""
    return (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; "
        f"style-src {' '.join(map(_hash, styles))} {_LOGO_STYLE}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _whole(text: str, element: str) -> str:
    """Return the text of an element. Raises ValueError if it would end there, or change as it is read."""
    lowered = text.lower()
    if f"</{element}" in lowered or "<!--" in text or "\r" in text or "\0" in text:
        raise ValueError(f"a {element} of a page holds what would end or change it")
    return text
