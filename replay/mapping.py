"""Converts the market inputs of one day to joint numbers and scales, exactly.

Numbers and scales belong to one journal. When days of several journals are read together, each instrument has
a joint number and joint scales, which are at least those of every day. Which fields hold scaled values is
read from their annotations (see `engine.values`), so a new field cannot be forgotten.

Promises: a value is multiplied by a power of ten and never rounded; an event that needs no change is passed
on as the same object. Called by `replay.joining`.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.errors import UsageError
from engine.events import Event, FeedDown, InstrumentListed
from engine.instruments import continued
from engine.values import INT64_MAX, Amount, power_of_ten, wide

__all__ = ["Converter", "Joint", "conversions", "joint_listing"]

_UNCHANGED: Final = frozenset({"side", "scaled"})
"""Units of fields that a conversion leaves as they are: sides, and values at the event's own scale."""


class Joint(msgspec.Struct, frozen=True):
    """What an instrument has in all days that are read together."""

    number: int
    price_scale: int
    size_scale: int


class _Factors(msgspec.Struct, frozen=True):
    """How the values of an instrument change: its new number, and what prices and sizes are multiplied by."""

    number: int
    price: int
    size: int


def joint_listing(listed: InstrumentListed, joint: Joint) -> InstrumentListed:
    """Return a listing with the joint number and scales; the same object if it has them.

    A source that states no rules has no steps either: its step is the smallest at its scale. The step is then
    the smallest at the joint scale.
    """
    if (listed.instrument, listed.price_scale, listed.size_scale) == (
        joint.number,
        joint.price_scale,
        joint.size_scale,
    ):
        return listed
    at_joint = msgspec.structs.replace(
        listed, instrument=joint.number, price_scale=joint.price_scale, size_scale=joint.size_scale
    )
    grown = continued(at_joint, listed)
    if listed.rules.stated:
        return grown
    return msgspec.structs.replace(
        grown,
        price_step=1 if listed.price_step == 1 else grown.price_step,
        size_step=1 if listed.size_step == 1 else grown.size_step,
    )


_Convert = Callable[[Any, _Factors], Any]


class Converter:
    """Converts the inputs of one day, by the listing in force at each of them.

    `where` names the day in errors. Raises UsageError for a value that does not fit 64 bits at its joint
    scale, and for an instrument that is not among `joints` (by key) or has finer scales than its joint ones.
    """

    def __init__(self, joints: Mapping[str, Joint], where: str) -> None:
        self._joints = joints
        self._where = where
        self._listed: dict[int, InstrumentListed] = {}
        self._factors: dict[int, _Factors | None] = {}
        self._same = True

    def convert(self, batch: list[Event], *, lists: bool) -> list[Event]:
        """Return the inputs in joint numbers and scales. `lists`: there may be instruments among them."""
        if not lists and self._same:
            return batch
        found: list[Event] = []
        for event in batch:
            if isinstance(event, InstrumentListed):
                found.append(self._list(event))
            elif isinstance(event, FeedDown) and event.instruments:
                found.append(msgspec.structs.replace(event, instruments=self._joint(event.instruments)))
            else:
                number = getattr(event, "instrument", 0)
                factors = self._factors_of(number) if number else None
                found.append(event if factors is None else self._converted(event, factors))
        return found

    def _list(self, listed: InstrumentListed) -> InstrumentListed:
        """Take a listing as the one in force from now on, and return it in joint numbers and scales."""
        joint = self._joints.get(listed.key)
        if joint is None or listed.price_scale > joint.price_scale or listed.size_scale > joint.size_scale:
            raise UsageError(
                f"{self._where}: lists {listed.key} after its first prices, where an imported day cannot; "
                "import the day again"
            )
        price = power_of_ten(joint.price_scale - listed.price_scale)
        size = power_of_ten(joint.size_scale - listed.size_scale)
        same = (joint.number, price, size) == (listed.instrument, 1, 1)
        self._listed[listed.instrument] = listed
        self._factors[listed.instrument] = None if same else _Factors(joint.number, price, size)
        self._same = all(factors is None for factors in self._factors.values())
        return joint_listing(listed, joint)

    def key(self, number: int) -> str:
        """Return the `venue:NAME` of the day's own number. Raises UsageError."""
        self._factors_of(number)
        return self._listed[number].key

    def _joint(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """Return the joint numbers of the day's own."""
        factors = map(self._factors_of, numbers)
        return tuple(
            number if one is None else one.number for number, one in zip(numbers, factors, strict=True)
        )

    def _factors_of(self, number: int) -> _Factors | None:
        try:
            return self._factors[number]
        except KeyError:
            raise UsageError(
                f"{self._where}: has data of instrument {number}, which it does not list"
            ) from None

    def _converted(self, event: Event, factors: _Factors) -> Event:
        values = list(msgspec.structs.astuple(event))
        try:
            for at, convert in conversions(event.__class__):
                values[at] = convert(values[at], factors)
        except OverflowError:
            listed = self._listed[event.instrument]  # type: ignore[attr-defined]
            joint = self._joints[listed.key]
            raise UsageError(
                f"{self._where}: a value of {listed.key} does not fit 64 bits with {joint.price_scale} "
                f"decimals of the price and {joint.size_scale} of the size, which another day has; import "
                "that day with fewer decimals"
            ) from None
        made: Event = event.__class__(*values)
        return made


@functools.cache
def conversions(cls: type[Event]) -> tuple[tuple[int, _Convert], ...]:
    """Return the fields of an event type that a conversion changes: their places, and how."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found: list[tuple[int, _Convert]] = []
    for at, name in enumerate(cls.__struct_fields__):
        if typing.get_origin(hints[name]) is typing.Annotated:
            value, unit = typing.get_args(hints[name])
            if unit not in _UNCHANGED:
                found.append((at, _convert_of(unit, amount=str in typing.get_args(value))))
    return tuple(found)


def _convert_of(unit: str, *, amount: bool) -> _Convert:
    """Return how values of a unit change. An `amount` may be text, and becomes text beyond 64 bits."""
    if unit == "instrument":
        return lambda _, factors: factors.number
    if unit == "levels":
        return lambda levels, factors: tuple(
            (_times(price, factors.price), _times(size, factors.size), count) for price, size, count in levels
        )
    times = _times_amount if amount else _times
    if unit == "price":
        return lambda value, factors: None if value is None else times(value, factors.price)
    if unit == "size":
        return lambda value, factors: None if value is None else times(value, factors.size)
    raise TypeError(f"market inputs with values of the unit {unit!r} cannot be converted yet")


def _times(value: int, factor: int) -> int:
    """Return a value times a factor. Raises OverflowError beyond 64 bits."""
    product = value * factor
    if not -INT64_MAX <= product <= INT64_MAX:
        raise OverflowError
    return product


def _times_amount(value: Amount, factor: int) -> Amount:
    return wide(int(value) * factor)
