"""Records as rows: the line that `engine inspect` prints, and the fields. Called by `View` and `Older`."""

from __future__ import annotations

from engine.clock import iso_text
from engine.events import engine_time
from engine.events.codec import Record
from engine.events.render import Renderer
from engine.views.shapes import RecordRow
from engine.views.units import ms, plain

__all__ = ["record_row"]

_HEAD = ("seq", "cause", "type", "at", "at_ns")


def record_row(renderer: Renderer, record: Record, *, fields: bool) -> RecordRow:
    """Return a record; with `fields` also the event's fields, with exact numbers as text."""
    seq, cause, event = record
    at_ns = engine_time(event)
    text = renderer.as_text(seq, cause, event)
    shown = {}
    if fields:
        shown = {
            name: plain(value)
            for name, value in renderer.as_json(seq, cause, event).items()
            if name not in _HEAD
        }
    return RecordRow(seq, cause, iso_text(at_ns), ms(at_ns), type(event).__name__, text, shown)
