"""The calls of `Disk` are the system calls of a journal: the crash states leave none out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
STRACE = ["strace", "-f", "-y", "-qq", "-e", "signal=none", "-e"]
CHANGES = (
    "trace=openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,"
    "write,pwrite64,writev,ftruncate,truncate,fallocate,fsync,fdatasync,syncfs,sync,sync_file_range"
)

SESSION = """
import sys
from pathlib import Path
from engine.journal.disk import Disk
from tests.journal import crashes
from tests.journal.strict import Recorder

NAMES = "create write fsync fdatasync fsync_dir rename unlink mkdir rmdir".split()

class Named(Recorder):
    log = []
    def __getattribute__(self, name):
        if name in NAMES:
            Named.log.append(name)
        return super().__getattribute__(name)

crashes.ROOT = Path(sys.argv[1])
disk = Named(Disk(), 0, 0, lambda _: None)
ledger = crashes.Ledger()
for frames in (9, 2):
    crashes.session(disk, ledger, frames=frames)
print(*Named.log)
"""

KINDS: dict[str, str] = {
    "fsync": "fsync",
    "fdatasync": "fdatasync",
    "mkdir": "mkdir",
    "mkdirat": "mkdir",
    "rename": "rename",
    "renameat": "rename",
    "renameat2": "rename",
    "unlink": "unlink",
    "unlinkat": "unlink",
    "rmdir": "rmdir",
    "write": "write",
}


def works() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run([*STRACE, "trace=none", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not works(), reason="strace is not installed, or tracing is not allowed here")
def test_every_system_call_that_changes_a_journal_is_a_call_of_the_disk(tmp_path: Path) -> None:
    root = tmp_path / "a" / "journal"
    done = subprocess.run(
        [*STRACE, CHANGES, "-o", str(tmp_path / "calls"), sys.executable, "-c", SESSION, str(root)],
        capture_output=True,
        text=True,
        cwd=HERE,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    recorded = done.stdout.split()
    traced = []
    for line in (tmp_path / "calls").read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if match is None:
            continue
        call = match[1]
        if str(tmp_path / "a") not in line and call not in ("fsync", "fdatasync"):
            continue
        if call in ("openat", "open", "creat"):
            if "O_CREAT" in line:
                traced.append("create")
        else:
            traced.append(KINDS[call])
    folders = [name if name != "fsync_dir" else "fsync" for name in recorded]
    assert traced == folders
    assert len(traced) > 30
