"""Arming: real orders need `mode = "live"`, the account's key and `--arm`, all at once.

Called by `engine live` before anything is written or connected. If one is missing, the command ends with exit
code 6 and names it. In paper mode no key is read.
"""

from __future__ import annotations

from engine.errors import SafetyRefusal
from engine.venue import Venue

__all__ = ["check_armed"]


def check_armed(venue: Venue, mode: str, armed: bool) -> bool:
    """Return whether orders are real. Raises SafetyRefusal when venue, mode and `--arm` do not agree."""
    if (mode == "live" or armed) and not venue.has_orders:
        raise SafetyRefusal(f"the venue {venue.name!r} takes no real orders; trade on it with --mode paper")
    if mode == "live" and not armed:
        raise SafetyRefusal("the mode is live, which sends real orders, but it is not armed; add --arm")
    if armed and mode != "live":
        raise SafetyRefusal("--arm is given, but the mode is paper; add --mode live")
    return armed
