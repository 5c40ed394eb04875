"""Reads the answers to operators' commands in a `Rig`."""

from __future__ import annotations

from engine.events import CommandAnswered
from tests.actors.rig import Rig


def states(rig: Rig, nonce: str) -> list[str]:
    return [one.state for one in rig.events(CommandAnswered) if one.nonce == nonce]


def last(rig: Rig, nonce: str) -> CommandAnswered:
    return [one for one in rig.events(CommandAnswered) if one.nonce == nonce][-1]


def refusal(answer: CommandAnswered) -> str:
    assert answer.reason
    return answer.code if answer.state == "refused" else ""
