"""Schnorr signatures over the curve ECgFp5, as Lighter verifies them.

Pure Python: a signature takes about 5 ms, and its time depends on the key, so a machine that others can
measure is no place for it. Promises: the same key and message give the same signature, since its nonce is
derived from both and never drawn; so a signature that is made twice tells nothing of the key. Sources: ECgFp5
and its formulas (Pornin, eprint.iacr.org/2022/274); the challenge is that of the venue's client library
poseidon_crypto 0.0.15 (2026), which has vectors. Called by `signing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import shake_256
from typing import Final, NamedTuple

from adapters.lighter.poseidon import Element, P, hash_to_element

__all__ = ["ORDER", "PublicKey", "Signature", "challenge", "from_bytes", "public_key", "sign", "to_bytes"]

ORDER: Final = (
    1067993516717146951041484916571792702745057740581727230159139685185762082554198619328292418486241
)
"""The order of the group, a prime."""

_B: Final = 263
_NON_RESIDUE: Final = 3
"""The extension is by x^5 = 3."""

_BYTES: Final = 40
_NONCE_BYTES: Final = 80
_ROOTS: Final = tuple(pow(_NON_RESIDUE, (P - 1) // 5 * power, P) for power in range(5))
_ZERO: Final[Element] = (0, 0, 0, 0, 0)
_ONE: Final[Element] = (1, 0, 0, 0, 0)


class Signature(NamedTuple):
    """Two numbers below `ORDER`: the response `s` and the challenge `e`."""

    s: int
    e: int

    def to_bytes(self) -> bytes:
        """Return the 80 bytes that the venue reads."""
        return self.s.to_bytes(_BYTES, "little") + self.e.to_bytes(_BYTES, "little")


class _Point(NamedTuple):
    """A point (x, y) as fractions: x = x / z, x / y = u / t."""

    x: Element
    z: Element
    u: Element
    t: Element


_GENERATOR: Final = _Point(
    (
        12883135586176881569,
        4356519642755055268,
        5248930565894896907,
        2165973894480315022,
        2448410071095648785,
    ),
    _ONE,
    _ONE,
    (4, 0, 0, 0, 0),
)
_NEUTRAL: Final = _Point(_ZERO, _ONE, _ZERO, _ONE)


def public_key(key: int) -> Element:
    """Return the public key of a private one: a point, encoded as one number."""
    return _encode(_multiple(key))


def sign(key: int, message: Element) -> Signature:
    """Return the signature of a hashed message."""
    seed = b"lighter" + key.to_bytes(_BYTES, "little") + to_bytes(message)
    nonce = int.from_bytes(shake_256(seed).digest(_NONCE_BYTES), "little") % ORDER
    e = challenge(_encode(_multiple(nonce)), message)
    return Signature((nonce - e * key) % ORDER, e)


def challenge(commitment: Element, message: Element) -> int:
    """Return the challenge of an encoded point for a hashed message."""
    return int.from_bytes(to_bytes(hash_to_element((*commitment, *message))), "little") % ORDER


class PublicKey:
    """A public key that checks signatures. Raises ValueError for a number that encodes no point."""

    def __init__(self, encoded: Element) -> None:
        self._powers = [_decode(encoded)]
        while len(self._powers) < ORDER.bit_length():
            self._powers.append(_sum(self._powers[-1], self._powers[-1]))

    def verifies(self, message: Element, signature: bytes) -> bool:
        """Return whether a signature is that of a hashed message."""
        s, e = (int.from_bytes(part, "little") for part in (signature[:_BYTES], signature[_BYTES:]))
        if len(signature) != 2 * _BYTES or not (s < ORDER and e < ORDER):
            return False
        commitment = _sum(_multiple(s), _multiple(e, self._powers))
        return challenge(_encode(commitment), message) == e


def from_bytes(data: bytes) -> Element:
    """Return the element of 40 bytes. Raises ValueError."""
    numbers = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    if len(data) != _BYTES or max(numbers) >= P:
        raise ValueError("not 40 bytes of an element")
    a0, a1, a2, a3, a4 = numbers
    return a0, a1, a2, a3, a4


def to_bytes(element: Element) -> bytes:
    """Return the 40 bytes of an element."""
    return b"".join(number.to_bytes(8, "little") for number in element)


# The group.


def _encode(point: _Point) -> Element:
    return _mul(point.t, _inverse(point.u))


def _decode(encoded: Element) -> _Point:
    """Return the point of a number. Of the two points on its line one has an x that is no square."""
    e = _less(_mul(encoded, encoded), (2, 0, 0, 0, 0))
    root = _root(_less(_mul(e, e), _times_b((4, 0, 0, 0, 0))))
    half = ((P + 1) // 2, 0, 0, 0, 0)
    for x in (_mul(_more(e, root), half), _mul(_less(e, root), half)):
        if pow(_norm(x), (P - 1) // 2, P) != 1:
            return _Point(x, _ONE, _ONE, encoded)
    raise ValueError("the number encodes no point")


def _multiple(scalar: int, powers: Sequence[_Point] = ()) -> _Point:
    """Return a multiple of the generator, or of the point whose doubles are given."""
    found = _NEUTRAL
    for place, power in enumerate(powers or _powers()):
        if scalar >> place & 1:
            found = _sum(found, power)
    return found


@cache
def _powers() -> tuple[_Point, ...]:
    """Return the generator times 1, 2, 4, ..."""
    powers = [_GENERATOR]
    while len(powers) < ORDER.bit_length():
        powers.append(_sum(powers[-1], powers[-1]))
    return tuple(powers)


def _sum(one: _Point, two: _Point) -> _Point:
    """Return the sum of two points, equal or not: the formulas are complete."""
    xx, zz, uu, tt = _mul(one.x, two.x), _mul(one.z, two.z), _mul(one.u, two.u), _mul(one.t, two.t)
    xz = _less(_mul(_more(one.x, one.z), _more(two.x, two.z)), _more(xx, zz))
    ut = _less(_mul(_more(one.u, one.t), _more(two.u, two.t)), _more(uu, tt))
    bzz = _times_b(zz)
    outer = _more(xx, bzz)
    left = _mul(tt, outer)
    right = _mul(uu, _more(_times_b(_more(xz, xz)), _more(outer, outer)))
    middle = _mul(_more(tt, _more(uu, uu)), _more(xz, outer))
    return _Point(
        _times_b(_less(middle, left)), _less(left, right), _mul(ut, _less(bzz, xx)), _more(left, right)
    )


# The quintic extension.


def _more(a: Element, b: Element) -> Element:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]


def _less(a: Element, b: Element) -> Element:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3], a[4] - b[4]


def _times_b(a: Element) -> Element:
    """Multiply by the curve's constant, 263 x."""
    return _NON_RESIDUE * _B * a[4], _B * a[0], _B * a[1], _B * a[2], _B * a[3]


def _mul(a: Element, b: Element) -> Element:
    """Multiply. Arguments may be a few bits beyond the field, and negative; the result is in it."""
    a0, a1, a2, a3, a4 = a
    b0, b1, b2, b3, b4 = b
    return (
        (a0 * b0 + 3 * (a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1)) % P,
        (a0 * b1 + a1 * b0 + 3 * (a2 * b4 + a3 * b3 + a4 * b2)) % P,
        (a0 * b2 + a1 * b1 + a2 * b0 + 3 * (a3 * b4 + a4 * b3)) % P,
        (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + 3 * a4 * b4) % P,
        (a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0) % P,
    )


def _others(a: Element) -> Element:
    """Return the product of the other conjugates; that of all is the norm, in the base field."""
    one = _conjugate(a, 1)
    two = _mul(one, _conjugate(one, 1))
    return _mul(two, _conjugate(two, 2))


def _norm(a: Element) -> int:
    return _mul(a, _others(a))[0]


def _inverse(a: Element) -> Element:
    """Return the inverse; 0 for 0."""
    others = _others(a)
    return _mul(others, (pow(_mul(a, others)[0], P - 2, P), 0, 0, 0, 0))


def _root(a: Element) -> Element:
    """Return a square root. Raises ValueError without one.

    The norm is a power of a, so half of it leaves the root of a number of the base field.
    """
    exponent, found, power = (P**4 + P**3 + P**2 + P + 2) // 2, _ONE, a
    while exponent:
        if exponent & 1:
            found = _mul(found, power)
        power = _mul(power, power)
        exponent >>= 1
    root = _mul(found, (pow(_base_root(_norm(a)), P - 2, P), 0, 0, 0, 0))
    if _mul(root, root) != _mul(a, _ONE):
        raise ValueError("no square")
    return root


def _base_root(a: int) -> int:
    """Return a square root in the base field (Tonelli and Shanks): P - 1 is 2 ** 32 times an odd number."""
    odd, twos = (P - 1) >> 32, 32
    found, left, unit = pow(a, (odd + 1) // 2, P), pow(a, odd, P), pow(7, odd, P)
    while left not in (0, 1):
        order, square = 0, left
        while square != 1 and order < twos:
            square, order = square * square % P, order + 1
        if order >= twos:
            raise ValueError("no square")
        step = pow(unit, 1 << (twos - order - 1), P)
        found, unit, twos = found * step % P, step * step % P, order
        left = left * unit % P
    return found


def _conjugate(a: Element, times: int) -> Element:
    """Raise to the power of `P`, as often as is asked."""
    a0, a1, a2, a3, a4 = (number * _ROOTS[place * times % 5] % P for place, number in enumerate(a))
    return a0, a1, a2, a3, a4
