"""A project with a journal, and one sweep of it with which others are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.search.kit import GRID, sweep, write_project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project, which tests do not change."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    return folder


@pytest.fixture(scope="session")
def done(project: Path) -> Path:
    """Return the folder of a complete sweep of `kit.GRID` with two jobs."""
    assert sweep(project, "done", *GRID, "--jobs", 2).code == 0
    return project / "done"
