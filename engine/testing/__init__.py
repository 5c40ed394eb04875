"""The test bench for strategies. Used by tests of strategies, in this repository and in projects."""

from engine.testing.bench import BEGIN_NS, Bench

__all__ = ["BEGIN_NS", "Bench"]
