"""Encodes the state of an actor as bytes, and decodes it.

Promises that a value comes back equal in type, value and order, or is refused by the name of its attribute.
`encoding` owns the bytes, `exact` the values of the standard library and numpy, `evolution` the states of
earlier versions, `checking` a check that costs little. Called by `engine.snapshot`, by
`engine.opening`, and by whatever stores or restores actors.
"""

from engine.states.checking import StateCheck, Unstorable
from engine.states.encoding import (
    decode_state,
    encode_fields,
    encode_state,
    refuse_large,
    restored_state,
    stored_state,
)
from engine.states.evolution import NO_SHAPES, Shapes, holds, is_named, name_of, shapes_of

__all__ = [
    "NO_SHAPES",
    "Shapes",
    "StateCheck",
    "Unstorable",
    "decode_state",
    "encode_fields",
    "encode_state",
    "holds",
    "is_named",
    "name_of",
    "refuse_large",
    "restored_state",
    "shapes_of",
    "stored_state",
]
