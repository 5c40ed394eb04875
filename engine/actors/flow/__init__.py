"""Order flow: optional actors for trades and books by price level. See `docs/order-flow.md`."""

from __future__ import annotations

from engine.actors.base import Actor
from engine.actors.flow.book import BookSampler
from engine.actors.flow.footprint import Footprints
from engine.actors.flow.imbalance import Imbalances
from engine.actors.flow.large import LargePrints
from engine.actors.flow.liquidations import LiquidationLevels
from engine.actors.flow.profile import Profiles
from engine.config import FlowConfig

__all__ = [
    "BookSampler",
    "Footprints",
    "Imbalances",
    "LargePrints",
    "LiquidationLevels",
    "Profiles",
    "flow_actors",
]


def flow_actors(config: FlowConfig) -> list[Actor]:
    """Return the actors that a configuration enables, in the order in which events pass through them."""
    actors: list[Actor] = []
    if config.footprint:
        actors.append(Footprints(config))
        if config.imbalance_ratio != "0":
            actors.append(Imbalances(config))
    if config.profile:
        actors.append(Profiles(config))
    if config.large:
        actors.append(LargePrints(config))
    if config.book:
        actors.append(BookSampler(config))
    # Without the key that older versions do not have: their states go on.
    before = repr(config).replace(f", liquidations={config.liquidations!r}", "")
    for actor in actors:
        actor.signature = before
    if config.liquidations:
        levels = LiquidationLevels(config)
        levels.signature = f"{config.liquidations} {config.level}"
        actors.append(levels)
    return actors
