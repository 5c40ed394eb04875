"""A mirror between two hosts whose network is cut: the pusher is in a network namespace of its own.

A link that is down swallows packets both ways, without an error. What is pulled is the journal or a prefix.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.kit import environment
from tests.mirror.kit import Grown, contents
from tests.stores.servers.nats import Nats
from tests.stores.servers.running import Server
from tests.stores.servers.test_mirrors import FRAMES_OF_SAMPLE, PATIENCE_S, eventually, read_back

SHORT_WAITS = """
import engine.commands.mirror as command, engine.mirror.nats as nats
nats.CONNECT_S = nats.ANSWER_S = command.RETRY_MAX_S = 1.0
from engine.cli import main
main()
"""
"""The command `engine` with bounds of a second."""


class Link:
    """A cable between this host and another one, which is a namespace. Its names end in this process's id."""

    def __init__(self) -> None:
        number = os.getpid()
        self.host, self._near, self._far = f"rt-{number}", f"rtn{number}", f"rtf{number}"
        self.address = f"10.213.{number // 64 % 256}.{number % 64 * 4 + 1}"
        other = f"{self.address.rpartition('.')[0]}.{number % 64 * 4 + 2}"
        self._ip("netns", "add", self.host)
        try:
            self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.host)
            self._ip("addr", "add", f"{self.address}/30", "dev", self._near)
            self._ip("-n", self.host, "addr", "add", f"{other}/30", "dev", self._far)
            self._ip("-n", self.host, "link", "set", self._far, "up")
            self.set("up")
        except BaseException:
            self.remove()
            raise

    def set(self, state: str) -> None:
        """Plug the cable in ("up") or pull it out ("down")."""
        self._ip("link", "set", self._near, state)

    def remove(self) -> None:
        """Remove the namespace; the cable goes with it."""
        self._ip("netns", "del", self.host)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def link() -> Iterator[Link]:
    if shutil.which("ip") is None:
        pytest.skip("no network namespaces: ip is missing")
    try:
        made = Link()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces: {error.stderr.decode().strip()}")
    yield made
    made.remove()


@pytest.mark.server("nats")
def test_a_mirror_over_a_network_that_is_cut_is_the_journal_or_a_prefix_of_it(
    own_server: Callable[[str], Server], link: Link, tmp_path: Path
) -> None:
    """Cut while it sends, while the broker is restarted, and while the pusher is killed and started again."""
    server = own_server("nats")
    assert isinstance(server, Nats)
    server.stop()
    server.host = link.address
    server.start()
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    pulled = tmp_path / "p"
    command = ["ip", "netns", "exec", link.host, sys.executable, "-c", SHORT_WAITS]
    command += ["mirror", "push", str(journal.root), "--to", server.url(), "--follow"]
    said = (tmp_path / "said").open("wb")

    def started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stderr=said, stdout=subprocess.DEVNULL, env=environment())

    def arrive(count: int) -> None:
        """Let the journal grow, and wait until all of it can be pulled."""
        journal.grow(count)
        until = time.monotonic() + PATIENCE_S
        while not pulled.exists() or contents(pulled) != contents(journal.root):
            assert time.monotonic() < until
            assert pusher.poll() is None
            time.sleep(0.1)
            eventually(lambda: read_back(server.url(), pulled))

    pusher = started()
    try:
        reached = 0
        for fault in ("link", "broker", "pusher"):
            arrive(30)
            journal.grow(1)
            link.set("down")
            journal.grow(30)
            if fault == "broker":
                server.kill()
                server.start()
            elif fault == "pusher":
                pusher.kill()
                pusher.wait()
                pusher = started()
            time.sleep(1.5)  # for longer than the pusher waits
            before, reached = reached, read_back(server.url(), pulled)
            assert reached >= before
            whole = contents(journal.root)
            assert all(whole[name].startswith(data) for name, data in contents(pulled).items())
            assert contents(pulled) != whole
            link.set("up")
        arrive(len(FRAMES_OF_SAMPLE))
    finally:
        pusher.send_signal(signal.SIGTERM)
        pusher.wait()
        said.close()
    shown = (tmp_path / "said").read_text()
    assert "is unavailable" in shown
    assert "in reach again" in shown
