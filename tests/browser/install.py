"""Installs what the browser tests need: Chromium from the system, Playwright into this environment.

Run by `make test-browser`. What cannot be installed is named; the tests are then skipped for that reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

__all__ = ["find_browser", "main"]

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


def find_browser() -> str | None:
    """Return the path of a Chromium, that of the variable CHROMIUM first; None if there is none."""
    given = os.environ.get("CHROMIUM")
    return given or next((path for name in NAMES if (path := shutil.which(name))), None)


def main() -> None:
    """Install what is missing and can be installed."""
    if find_browser() is None:
        _install_browser()
    if find_spec("playwright") is None:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        print("browser: installing playwright (165 MB)", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        if subprocess.run([*pip, *extras["browser"]], check=False).returncode:
            print("browser: playwright could not be installed; the tests are skipped", file=sys.stderr)


def _install_browser() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(
            "browser: there is no Chromium; install it (apt-get install chromium) or set CHROMIUM",
            file=sys.stderr,
        )
        return
    print("browser: installing chromium", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    packages = ["chromium", *([] if FONT.exists() else ["fonts-dejavu-core"])]
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        if subprocess.run(
            ["apt-get", "-qq", *command], env=quiet, stdout=subprocess.DEVNULL, check=False
        ).returncode:
            print(f"browser: apt-get {command[0]} failed", file=sys.stderr)


if __name__ == "__main__":
    main()
