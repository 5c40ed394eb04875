"""Keeps strategies deterministic: a check of their source at load, and traps at run time.

Promises that a strategy whose source reads a clock, draws random numbers, or uses files, network, processes
or the environment is refused with the line that does. It guards against mistakes, not against malice. Uses
that it does not find show up as a replay that diverges. Called by `engine.loading.strategies` around an
import.
"""

from engine.guard.project import Project, read_project
from engine.guard.reading import Finding, refuse
from engine.guard.traps import arm, disarm, set_traps

__all__ = ["Finding", "Project", "arm", "disarm", "read_project", "refuse", "set_traps"]
