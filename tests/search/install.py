"""Installs the extras that some tests of sweeps need: a Dask cluster and Optuna.

Run by `make test-search`. They weigh 150 MB, so they are not in the lock. What cannot be installed is named;
its tests are then skipped for that reason.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"search": "optuna", "dask": "distributed"}


def main() -> None:
    """Install what is missing."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, package in PACKAGES.items():
        if find_spec(package) is None:
            print(f"search: installing {package}", flush=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            if subprocess.run([*pip, "--no-input", *extras[extra]], check=False).returncode:
                print(f"search: {package} could not be installed; its tests are skipped", file=sys.stderr)


if __name__ == "__main__":
    main()
