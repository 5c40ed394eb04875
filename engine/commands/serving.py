"""The options of the dashboard, and the operator's server that they describe. Called by `engine live`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from engine.api.hosts import Hosts
from engine.api.page import CONTENT_SECURITY_POLICY, assets
from engine.api.server import Dashboard, LiveServer
from engine.api.sessions import Password
from engine.api.sockets import HOST_DEFAULT, PORT_DEFAULT, listen_tcp, local_address, parse_address
from engine.commands.reporting import ReportingServer
from engine.commands.speaking import Speaker
from engine.errors import SafetyRefusal, UsageError
from engine.runtime.plan import MakeServer, ServedSession

__all__ = ["DashboardOptions", "dashboard_options", "make_server", "opened_dashboard", "read_options"]

PASSWORD_BYTES_MIN: Final = 8
PASSWORD_BYTES_MAX: Final = 1024


class DashboardOptions(msgspec.Struct, frozen=True):
    """What `--dashboard` and the options beside it say. `password` names a file or a variable."""

    address: str
    names: tuple[str, ...] = ()
    password: str | None = None
    read_only: bool = False


def dashboard_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the dashboard to a command."""
    for option in reversed(
        (
            click.option(
                "--dashboard",
                is_flag=False,
                flag_value=f"{HOST_DEFAULT}:{PORT_DEFAULT}",
                metavar="[HOST:PORT]",
                help=f"Serve the page, by default at {HOST_DEFAULT}:{PORT_DEFAULT}; :0 picks a free port.",
            ),
            click.option(
                "--dashboard-name",
                "dashboard_names",
                multiple=True,
                metavar="NAME",
                help="A further name under which browsers reach the page, such as that of a proxy.",
            ),
            click.option(
                "--dashboard-password",
                metavar="file:PATH|env:NAME",
                help="Where the password of the page is; needed for any address but 127.0.0.1 and [::1].",
            ),
            click.option("--read-only", is_flag=True, help="The page can look, and change nothing."),
        )
    ):
        command = option(command)
    return command


def read_options(
    address: str | None, names: tuple[str, ...], password: str | None, *, read_only: bool
) -> DashboardOptions | None:
    """Return the options, checked, None without --dashboard. Raises UsageError, SafetyRefusal."""
    if address is None:
        for name, given in (
            ("--dashboard-name", names),
            ("--dashboard-password", password is not None),
            ("--read-only", read_only),
        ):
            if given:
                raise UsageError(f"{name}: is for the page; give --dashboard as well")
        return None
    parsed = parse_address(address)
    Hosts(names)
    if password is None and not parsed.is_loopback:
        raise SafetyRefusal(
            f"--dashboard {parsed}: other machines could reach it, so it needs --dashboard-password; an ssh "
            "tunnel to 127.0.0.1 needs none"
        )
    return DashboardOptions(address, names, password, read_only)


@contextmanager
def opened_dashboard(
    options: DashboardOptions | None, announce: Callable[[str], None]
) -> Iterator[Dashboard | None]:
    """Yield the page with its listening socket, None without options. Raises UsageError."""
    if options is None:
        yield None
        return
    password = None if options.password is None else Password(_read_password(options.password))
    listening = listen_tcp(parse_address(options.address))
    with listening:
        yield Dashboard(
            socket=listening,
            address=local_address(listening),
            announce=announce,
            names=options.names,
            password=password,
            read_only=options.read_only,
            files=assets(),
            policy=CONTENT_SECURITY_POLICY,
        )


def make_server(
    root: Path,
    dashboard: Dashboard | None,
    lines: Mapping[str, Callable[[], str]],
    speaker: Speaker,
) -> MakeServer:
    """Return what makes the server of a session on the journal in `root`, which reports by `speaker`."""

    def make(session: ServedSession) -> ReportingServer:
        server = LiveServer(root, session, dashboard=dashboard, lines=lines, notify=speaker)
        return ReportingServer(server, speaker)

    return make


def _read_password(where: str) -> str:
    """Return the password that a file or a variable holds. Its text is in no message."""
    kind, _, name = where.partition(":")
    option = "--dashboard-password"
    if kind == "env" and name:
        text = os.environ.get(name, "")
        if not text:
            raise UsageError(f"{option} env:{name}: the variable is not set")
    elif kind == "file" and name:
        path = Path(name)
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise SafetyRefusal(f"{option} {path}: other users can read it; `chmod 600 {path}`")
            text = path.read_bytes()[: PASSWORD_BYTES_MAX + 2].decode().removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise UsageError(f"{option} {path}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{option} {path}: is not UTF-8 text") from None
    else:
        raise UsageError(f"{option}: write it as file:PATH or env:NAME; the password itself is never given")
    if not PASSWORD_BYTES_MIN <= len(text.encode()) <= PASSWORD_BYTES_MAX:
        raise SafetyRefusal(
            f"{option} {kind}:{name}: a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes"
        )
    return text
