"""Keeps strategies deterministic: a check of their source at load, and traps for what a check cannot see.

Promises that a strategy which plainly reads a clock, draws chance, or touches files, network, processes or
the environment is refused with the line that does. It guards against mistakes, not against malice: what
gets past it shows as a replay that diverges. Called by `engine.loading.strategies` around an import.
"""

from engine.guard.project import Project, read_project
from engine.guard.reading import Finding, refuse
from engine.guard.traps import arm, set_traps

__all__ = ["Finding", "Project", "arm", "read_project", "refuse", "set_traps"]
