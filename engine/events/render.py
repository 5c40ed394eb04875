"""Renders records for people: as a JSON object with exact numbers, or as one line of text.

Prices and sizes become exact decimal text, instruments their labels, sides words. A `Renderer` learns the
instruments from the records it renders; `learn` adds those of a day that opens with a snapshot. It renders
every record that can be decoded: a value without a known scale or name is shown as it is. Used by the
commands that show records (inspect, why, diff, state, replay).

The unit of a field is its annotation (see `engine.values`). Each class's annotations are read once.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec

from engine.clock import iso_text
from engine.errors import UsageError
from engine.events import EVENT_TYPES, Event, InstrumentListed, MarketRules, OrderTerms, SessionStarted
from engine.instruments import labels
from engine.values import BUY, NO_SIDE, SELL, Amount, format_interval, format_scaled, side_name

__all__ = ["Renderer", "event_type", "nearest_type_names", "printable"]

TEXT_LENGTH_MAX: Final = 160
"""Upper bound on the characters of a text field in a line. Longer text is cut and its length shown."""

SCALE_MAX: Final = 128
"""Decimals beyond this are no scale; the value is shown as it is."""

_RECORD_KEYS: Final = ("seq", "cause", "type", "at", "at_ns")
_UNITS: Final = frozenset({"price", "size", "money", "side", "instrument", "scaled", "levels", "volumes"})
_BARE: Final = frozenset({"instrument", "side", "aggressor", "strategy"})  # shown without a label
_HIDDEN: Final = frozenset({"scale", "finer", "venue_ns"})  # shown in JSON only

_TYPES: Final = {cls.__name__: cls for cls in EVENT_TYPES}
_BY_ANY_NAME: Final = {
    **{str(cls.__struct_config__.tag): cls for cls in EVENT_TYPES},
    **{name.lower(): cls for name, cls in _TYPES.items()},
}


class _Field(msgspec.Struct, frozen=True):
    """How one field is shown. `unit` is one of `_UNITS`, or "bytes", "float" or ""."""

    name: str
    key: str  # in JSON: the name, prefixed if the record uses it itself
    unit: str
    label: str  # in a line; "" if the value has no label
    omitted: object  # a value that a line leaves out
    hidden: bool


class Renderer:
    """Renders records as JSON objects and lines. Keeps the instruments listed so far, by number."""

    def __init__(self, instruments: Iterable[InstrumentListed] = ()) -> None:
        self._instruments: dict[int, InstrumentListed] = {}
        self._shown: dict[int, InstrumentListed] | None = None
        self.learn(instruments)

    def learn(self, instruments: Iterable[InstrumentListed]) -> None:
        """Add instruments whose events are not rendered, such as those of a day's snapshot."""
        for listed in instruments:
            self._instruments[listed.instrument] = listed
        self._shown = None

    def see(self, event: Event) -> None:
        """Add the instrument of a record that is not rendered, for example because a filter skips it."""
        if type(event) is InstrumentListed:
            self._instruments[event.instrument] = event
            self._shown = None

    def as_json(self, seq: int, cause: int, event: Event) -> dict[str, object]:
        """Return the record as an object: seq, cause, type, at, at_ns, then the event's fields in order.

        Prices, sizes and money are exact decimal text. For an instrument that is not listed yet they stay
        integers, and its name is its number ("#7"). A field with the name of one of the record's keys is
        prefixed with "event_" (`ActorFailed.seq` is `event_seq`). NaN and infinities are text.
        """
        self.see(event)
        listed = self._listed(event)
        plan = _plan(type(event))
        at_ns = getattr(event, plan[0].name)
        shown: dict[str, object] = {
            "seq": seq,
            "cause": cause,
            "type": type(event).__name__,
            "at": iso_text(at_ns),
            "at_ns": at_ns,
        }
        for field in plan:
            shown[field.key] = _shown(field, event, event, listed)
        return shown

    def as_text(self, seq: int, cause: int, event: Event) -> str:
        """Return the record as one line: time, seq, cause, type, and fields that differ from their default.

        Characters that could move the cursor, break the line or reverse its direction are escaped, and long
        text is cut, so a line is safe on a terminal whatever a venue sends.
        """
        self.see(event)
        listed = self._listed(event)
        plan = _plan(type(event))
        at = iso_text(getattr(event, plan[0].name))
        words = [at, f"#{seq}" if not cause else f"#{seq} <- #{cause}", type(event).__name__]
        words += _words_of(plan[1:], event, event, listed)
        return "  ".join(words)

    def _listed(self, event: Event) -> InstrumentListed | None:
        """Return the instrument of an event, with its label as its name."""
        number = getattr(event, "instrument", None)
        if number is None:
            return None
        if self._shown is None:
            names = labels(self._instruments.values())
            self._shown = {
                key: msgspec.structs.replace(listed, name=names[key])
                for key, listed in self._instruments.items()
            }
        return self._shown.get(number)


def event_type(name: str) -> type[Event]:
    """Return the event type called `name`: its class name in any case, or its tag. Raises UsageError."""
    found = _BY_ANY_NAME.get(name.strip().lower())
    if found is None:
        near = nearest_type_names(name)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {' '.join(sorted(_TYPES))}"
        raise UsageError(f"{printable(name[:40])!r} is not a type of event; {hint}")
    return found


def nearest_type_names(name: str) -> list[str]:
    """Return at most three names of event types that are similar to `name`, nearest first."""
    near = difflib.get_close_matches(name.strip().lower()[:80], list(_BY_ANY_NAME), n=6, cutoff=0.6)
    return list(dict.fromkeys(_BY_ANY_NAME[match].__name__ for match in near))[:3]


@functools.cache
def _plan(cls: type[msgspec.Struct]) -> tuple[_Field, ...]:
    """Return how each field of a class is shown, read from its annotations."""
    hints = get_type_hints(cls, include_extras=True)
    fields: tuple[Any, ...] = msgspec.structs.fields(cls)
    return tuple(_field(field, hints[field.name], first=not at) for at, field in enumerate(fields))


def _field(field: Any, hint: Any, *, first: bool) -> _Field:
    name: str = field.name
    unit = _unit(name, hint)
    taken = name in _RECORD_KEYS and not (first and name == "at_ns")
    bare = name in _BARE and (unit != "" or name != "instrument")
    label = "" if bare else name.removesuffix("_ns").replace("_", " ")
    omitted = field.default if field.default is not msgspec.NODEFAULT else ""
    if name in ("limit_price", "limit") and unit:
        label, omitted = "limit", msgspec.NODEFAULT
    return _Field(name, f"event_{name}" if taken else name, unit, label, omitted, name in _HIDDEN)


def _unit(name: str, hint: Any) -> str:
    if get_origin(hint) is Annotated:
        for note in get_args(hint)[1:]:
            if note in _UNITS:
                return str(note)
    if hint is bytes:
        return "bytes"
    if hint in (SessionStarted | None, tuple[InstrumentListed, ...]):
        return "events"
    if hint in (OrderTerms, MarketRules):
        return "part"
    if hint in (float, float | None):
        return "float"
    return ""


def _value(unit: str, value: Any, event: Event, listed: InstrumentListed | None) -> object:
    """Return a field as JSON shows it."""
    match unit:
        case "side":
            return side_name(value) if value in (BUY, SELL, NO_SIDE) else value
        case "instrument":
            return f"#{value}" if listed is None else listed.name
        case "scaled":
            return None if value is None else _exact(value, getattr(event, "scale", 0))
        case "levels":
            if listed is None:
                return [list(level) for level in value]
            price, size = listed.price_scale, listed.size_scale
            return [[_exact(level[0], price), _exact(level[1], size), level[2]] for level in value]
        case "volumes":
            if listed is None:
                return [list(level) for level in value]
            return [
                [
                    _exact(level[0], listed.price_scale),
                    *(_exact(part, listed.size_scale) for part in level[1:]),
                ]
                for level in value
            ]
        case "part":
            return {field.key: _shown(field, value, event, listed) for field in _plan(value.__class__)}
        case "price":
            return value if listed is None else _exact(value, listed.price_scale + _finer(event))
        case "size":
            return value if listed is None or value is None else _exact(value, listed.size_scale)
        case "money":
            return (
                value
                if listed is None or value is None
                else _exact(value, listed.money_scale + _finer(event))
            )
        case "events":
            return [_fields(one) for one in value] if isinstance(value, tuple) else value and _fields(value)
        case "bytes":
            return {"bytes": len(value), "blake2b": hashlib.blake2b(value, digest_size=32).hexdigest()}
        case _:
            return value if value is None or math.isfinite(value) else str(value)


def _finer(event: Event) -> int:
    """Return the decimals that prices and money of an event have beyond the instrument's."""
    return getattr(event, "finer", 0)


def _shown(field: _Field, owner: Any, event: Event, listed: InstrumentListed | None) -> object:
    """Return a field of an event, or of a struct in it, as JSON shows it."""
    value = getattr(owner, field.name)
    return _value(field.unit, value, event, listed) if field.unit else value


def _fields(part: msgspec.Struct) -> dict[str, object]:
    """Return an event or a struct inside an event by its fields, as they are recorded."""
    return {
        name: _fields(value) if isinstance(value, msgspec.Struct) else value
        for name, value in msgspec.structs.asdict(part).items()
    }


def _exact(value: Amount, scale: int) -> object:
    """Return exact decimal text, or the value itself if it or its scale is invalid."""
    try:
        return format_scaled(value, scale) if 0 <= scale <= SCALE_MAX else value
    except ValueError:  # not an integer, or thousands of digits
        return value


def _words_of(
    plan: tuple[_Field, ...], owner: Any, event: Event, listed: InstrumentListed | None
) -> list[str]:
    """Return the fields of an event, or of a struct in it, as a line shows them. Defaults are left out."""
    words: list[str] = []
    for field in plan:
        value = getattr(owner, field.name)
        if field.unit == "part":
            words += _words_of(_plan(value.__class__), value, event, listed)
        elif not field.hidden and value != field.omitted:
            word = _word(field, value, event, listed)
            if word:
                words.append(f"{field.label} {word}" if field.label else word)
    return words


def _word(field: _Field, value: Any, event: Event, listed: InstrumentListed | None) -> str:
    """Return a field as a line shows it, or "" to leave it out."""
    show = _limit_price if field.name == "limit" and field.unit else _WORDS.get(field.name)
    if show is not None:
        return show(value, listed)
    if field.unit == "events":
        return _text(", ".join(labels(value).values()))
    if field.unit == "bytes":
        return f"{len(value)} bytes"
    if field.unit == "volumes":
        return f"{len(value)} levels"
    if field.unit == "levels":
        best = f", best {_value(field.unit, value[:1], event, listed)[0][0]}" if value else ""  # type: ignore[index]
        return f"{len(value)} levels{best}"
    if value is None:
        return ""
    if field.unit:
        return _text(str(_value(field.unit, value, event, listed)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return _text(", ".join(_part_word(field.name, part) for part in value))
    return _text(str(value))


def _part_word(name: str, part: Any) -> str:
    """Return a part of a list: of a pair its name, and of what a person asked, or is left, all of it."""
    if not isinstance(part, tuple):
        return str(part)
    return " ".join(map(str, part)) if name in ("arguments", "left") else str(part[0])


def _limit_price(value: int, listed: InstrumentListed | None) -> str:
    return (
        "none (market)" if not value else str(value if listed is None else _exact(value, listed.price_scale))
    )


def _quoted(value: str, _: InstrumentListed | None) -> str:
    return f'"{_text(value)}"' if value else ""


def _moment(value: int, _: InstrumentListed | None) -> str:
    return iso_text(value)


_WORDS: Final[dict[str, Callable[[Any, InstrumentListed | None], str]]] = {
    "limit_price": _limit_price,
    "interval_ns": lambda value, _: format_interval(value),
    "reason": _quoted,
    "because": _quoted,
    "error": _quoted,
    "detail": _quoted,
    "start_ns": _moment,
    "end_ns": _moment,
    "from_ns": _moment,
    "to_ns": _moment,
    "kept_ns": _moment,
    "strategies": lambda value, _: _text(", ".join(entry[0] for entry in value)),
    "started": lambda value, _: _text(value.session) if value is not None else "",
    "config": lambda value, _: f"{len(value)} characters",
}


def _text(value: str) -> str:
    """Return printable text, cut to `TEXT_LENGTH_MAX` characters."""
    if len(value) > TEXT_LENGTH_MAX:
        return f"{printable(value[:TEXT_LENGTH_MAX])}... ({len(value)} characters)"
    return printable(value)


def printable(value: str) -> str:
    """Return text in which what could move a cursor, break the line or reverse its direction is escaped."""
    if value.isprintable():
        return value
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in value
    )
