"""HTML and SVG as text that is safe by its type: what is not `Markup` is escaped.

Names of instruments, reasons and the like come from venues and strategies, so they are never trusted: they
can hold tags, quotes, line breaks and characters that reverse the direction of a line. Called by every module
of `engine.pages`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from engine.events.render import printable

__all__ = ["Child", "Markup", "data_block", "joined", "slug", "tag"]


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]
"""What stands inside a tag: text, which is escaped unless it is `Markup`, or several; None is nothing."""

_VOID: Final = frozenset({"br", "col", "hr", "input", "meta"})
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*\Z", re.IGNORECASE)


def joined(*children: Child) -> Markup:
    """Return children one after the other."""
    return Markup("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return html.escape(printable(child))
    if child is None:
        return ""
    if isinstance(child, int):
        return str(child)
    return "".join(map(_text, child))


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """Return an element. `class_` is "class", and "_" in other names stands for "-".

    An attribute that is None or False is left out; True has no value. Raises ValueError for attributes that
    hold code or styles: the policy of the page forbids them.
    """
    parts = [name]
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-")
        if attribute == "style" or attribute.startswith("on") or not _NAME.match(attribute):
            raise ValueError(f"{attribute}: an attribute that a page may not have")
        if value is True:
            parts.append(attribute)
        elif value is not None and value is not False:
            shown = f"{value:.6g}" if isinstance(value, float) else str(value)
            parts.append(f'{attribute}="{html.escape(printable(shown))}"')
    opened = f"<{' '.join(parts)}>"
    return Markup(opened) if name in _VOID else Markup(f"{opened}{joined(*children)}</{name}>")


def data_block(name: str, value: object) -> Markup:
    """Return data for the scripts of a page, as JSON in which no text can end the element."""
    text = msgspec.json.encode(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(f'<script type="application/json" id="{html.escape(name)}">{text}</script>')


def slug(text: str) -> str:
    """Return a text as part of an id: letters, digits and hyphens. Other texts may give the same."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
