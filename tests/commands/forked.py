"""Stands for the command `engine` in a script of a shell: a process that `forking.py` forks does the work.

    python -I -S forked.py ADDRESS ARGUMENTS

Passes its arguments, environment, folder and streams on, forwards signals, and ends with the same exit code.
Imports next to nothing, and so starts in a twentieth of the time that `engine` takes. `forking.shell_command`
returns its command.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys


def main() -> int:
    """Run one command to its end; return its exit code."""
    address, *arguments = sys.argv[1:]
    status, status_write = os.pipe()
    request = {
        "arguments": arguments,
        "path": [],
        "session": False,
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib is not imported
        "environment": dict(os.environ),
    }
    body = json.dumps(request).encode()
    forwarded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [len(body).to_bytes(4, "little")], [0, 1, 2, status_write])
        server.sendall(body)
        pid = int.from_bytes(server.recv(4, socket.MSG_WAITALL), "little")
        for number in forwarded:
            signal.signal(number, lambda number, _: os.kill(pid, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
        os.close(status_write)
        code = os.waitstatus_to_exitcode(int(os.read(status, 16)))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
