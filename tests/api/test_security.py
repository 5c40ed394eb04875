"""Attacks on the page's port: each rule of docs/api.md has the test here that proves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from engine.api.guard import Guard
from tests.api.kit import PATIENCE_S, Served, serving


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "evil.example:8710",
        "[::2]",
        "127.0.0.2",
        "",
        ".",
        "localhost:0",
        "localhost:99999",
        "localhost:80:80",
        "[::1",
        "::1",
        "2130706433",
        None,
    ],
)
async def test_a_foreign_host_is_refused_before_anything_else(tmp_path: Path, host: str | None) -> None:
    async with serving(tmp_path) as served:
        for target, method in (
            ("/api/status", "GET"),
            ("/", "GET"),
            ("/api/stream", "GET"),
            ("/api/login", "POST"),
        ):
            body = {"token": served.token} if method == "POST" else None
            reply = await served.ask(target, method=method, body=body, headers={"Host": host})
            assert reply.status == 400
            # A request without any Host is already refused by HTTP itself.
            assert host is None or reply.code == "bad_host"
        assert (await served.login()).status == 200, "the token is not spent"
        assert (await served.ask("/api/status", headers={"Host": host})).status == 400


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "localhost.:8710",
        "[::1]",
        "[0:0::1]:9",
        "127.0.0.1",
        "Proxy.Test",
    ],
)
async def test_our_own_names_pass_with_any_port(tmp_path: Path, host: str) -> None:
    async with serving(tmp_path, names=("proxy.test",)) as served:
        await served.login()
        assert (await served.ask("/api/status", headers={"Host": host})).status == 200


async def test_without_a_cookie_every_path_but_the_login_is_401(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for target in ("/api/status", "/api/stream", "/api/nothing", "/api", "/api/openapi.json"):
            assert (await served.ask(target)).code == "not_logged_in"
        for target in ("/api/commands", "/api/logout", "/api/link", "/api/login/"):
            assert (await served.ask(target, method="POST", body={})).code == "not_logged_in"
        assert (await served.ask("/api/login")).code == "not_logged_in", "a GET of it as well"


async def test_a_token_is_good_for_one_login(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for method in ("GET", "HEAD"):
            for target in (f"/?token={served.token}", f"/api/login?token={served.token}"):
                await served.ask(target, method=method)
        first = await served.login()
        assert first.status == 200
        cookie = first.headers["set-cookie"]
        assert cookie.startswith("retape_00010203=")
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        assert (await served.ask("/api/status")).status == 200
        served.cookie = ""
        again = await served.login()
        assert (again.status, again.code) == (401, "login_failed")


SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://evil.example"}, "cross_site"),
        ({"Origin": "http://evil.example", **SAME}, "cross_site"),
        ({"Origin": "null"}, "cross_site"),
        ({"Origin": "http://127.0.0.1:1"}, "cross_site"),
        ({"Sec-Fetch-Site": "cross-site"}, "cross_site"),
        ({"Sec-Fetch-Site": "same-site"}, "cross_site"),
        ({"Sec-Fetch-Site": "none"}, "cross_site"),
        ({"Sec-Fetch-Site": None, "Origin": None}, "cross_site"),
        ({"X-Retape": None}, "cross_site"),
        ({"Content-Type": "text/plain"}, "not_json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "not_json"),
        ({"Content-Type": "multipart/form-data; boundary=application/json"}, "not_json"),
        ({"Content-Type": None}, "not_json"),
    ],
)
async def test_a_post_of_another_site_is_refused(
    tmp_path: Path, headers: dict[str, str | None], code: str
) -> None:
    async with serving(tmp_path) as served:
        refused = await served.ask("/api/login", method="POST", body={"token": served.token}, headers=headers)
        assert refused.code == code
        assert (await served.login()).status == 200, "the token is not spent"
        for target in ("/api/commands", "/api/logout"):
            refused = await served.ask(target, method="POST", body={}, headers=headers)
            assert refused.code == code
        assert (await served.ask("/api/status")).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_page_cannot_read(tmp_path: Path, site: str) -> None:
    async with serving(tmp_path) as served:
        await served.login()
        for headers in ({"Sec-Fetch-Site": site}, {"Origin": "http://localhost:1"}):
            reply = await served.ask("/api/status", headers=dict(headers))
            assert reply.code == "cross_site"
            assert not any("access-control" in name for name in reply.headers)


FOREIGN = (
    "null",
    "http://evil.example",
    "http://sub.{}",
    "http://{}.evil.example",
    "http://{}0",
    "",
)
"""Origins of other pages; {} is our own host and port."""
UPGRADE: dict[str, str | None] = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "A" * 22 + "==",
}


async def opened(served: Served, headers: dict[str, str | None]) -> bool:
    """Return whether a stream is opened with these headers; a logged-in browser sends its cookie."""
    with trio.move_on_after(PATIENCE_S):
        try:
            reply = await served.ask("/api/stream", headers=headers)
        except AssertionError:  # the connection ended without a response
            return False
        return reply.status in (101, 200)
    return True


async def test_s04_another_page_opens_no_stream_and_nothing_is_upgraded(tmp_path: Path) -> None:
    """X19: what a page receives for as long as it likes is checked like every other request."""
    async with serving(tmp_path) as served:
        await served.login()
        for text in FOREIGN:
            headers: dict[str, str | None] = {"Origin": text.format(served.address)}
            assert not await opened(served, headers), headers
            assert not await opened(served, headers | UPGRADE), headers
        assert not await opened(served, {"Origin": served.origin, **UPGRADE}), "there are no websockets"
        assert served.server._api.streams == 0
        assert await opened(served, {"Origin": served.origin})


async def test_x19_a_stream_whose_origin_is_not_checked_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = Guard._check

    def check(guard: Guard, scope: Any) -> Any:
        if scope["path"] == "/api/stream":
            scope = scope | {"headers": [one for one in scope["headers"] if one[0].lower() != b"origin"]}
        return checks(guard, scope)

    monkeypatch.setattr(Guard, "_check", check)
    async with serving(tmp_path) as served:
        await served.login()
        assert await opened(served, {"Origin": "http://evil.example"})


async def test_there_is_no_cors(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.login()
        headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        reply = await served.ask("/api/commands", method="OPTIONS", headers=dict(headers))
        assert reply.status == 403
        assert not any("access-control" in name for name in reply.headers)


async def test_every_answer_has_the_headers_of_a_page_that_moves_money(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        replies = [await served.ask(one) for one in ("/", "/api/status", "/nothing")]
        replies.append(await served.ask("/api/status", headers={"Host": "evil.example"}))
        await served.login()
        replies.append(await served.ask("/api/status"))
        for reply in replies:
            assert reply.headers["cache-control"] == "no-store"
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["referrer-policy"] == "no-referrer"
            policy = reply.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy


async def test_callers_of_the_unix_socket_need_no_cookie(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert (await served.ask("/api/status", unix=True)).status == 200
        link = (await served.ask("/api/link", method="POST", unix=True)).json["link"]
        served.links.append(link)
        assert (await served.login()).status == 200
        assert (await served.ask("/api/link", method="POST")).code == "socket_only"


async def _use(served: Served) -> None:
    await served.login()
    await served.ask("/api/status")


async def test_two_engines_on_one_host_do_not_share_a_cookie(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with serving(tmp_path / "a") as first, serving(tmp_path / "b", journal=bytes(16)) as second:
        await _use(first)
        await _use(second)
        both = f"{first.cookie}; {second.cookie}"
        for served in (first, second):
            assert (await served.ask("/api/status", headers={"Cookie": both})).status == 200
        assert (await first.ask("/api/status", headers={"Cookie": second.cookie})).status == 401


@pytest.mark.parametrize(
    "other",
    [
        'notes={"a": 1}',
        "a b=1",
        "flag",
        "=",
        "x[]=1",
        'x="open',
        "path=/",
        "caf\xe9=\xe9",
        "retape_00010203=old",
    ],
)
async def test_cookies_of_other_programs_of_this_host_keep_nobody_out(tmp_path: Path, other: str) -> None:
    async with serving(tmp_path) as served:
        await _use(served)
        for cookies in (
            f"{other}; {served.cookie}",
            f"{served.cookie}; {other}",
            f"{other};{served.cookie};",
        ):
            assert (await served.ask("/api/status", headers={"Cookie": cookies})).status == 200
        assert (await served.ask("/api/status", headers={"Cookie": other})).status == 401


async def test_logins_and_links_end_with_their_engine(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        await first.login()
        assert (await first.ask("/api/status")).status == 200
        link = (await first.ask("/api/link", method="POST", unix=True)).json["link"]
    async with serving(tmp_path) as again:
        assert (await again.ask("/api/status", headers={"Cookie": first.cookie})).code == "not_logged_in"
        body = {"token": link.rpartition("=")[2]}
        assert (await again.ask("/api/login", method="POST", body=body)).code == "login_failed"
        assert (await again.login()).status == 200, "the first cookie has the same name"


async def test_behind_tls_the_cookie_is_secure(tmp_path: Path) -> None:
    async with serving(tmp_path, names=("trade.example",)) as served:
        headers: dict[str, str | None] = {"Host": "trade.example", "Origin": "https://trade.example"}
        body = {"token": served.token}
        reply = await served.ask("/api/login", method="POST", body=body, headers=headers)
        cookie = reply.headers["set-cookie"]
        assert cookie.startswith("__Host-retape_00010203=")
        assert "; Secure" in cookie
        assert "domain" not in cookie.lower()
        headers["Cookie"] = cookie.partition(";")[0]
        assert (await served.ask("/api/status", headers=headers)).status == 200


async def test_a_page_that_is_read_only_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, read_only=True) as served:
        await served.login()
        assert (await served.ask("/api/session")).json["read_only"] is True
        assert (await served.ask("/api/status")).json["read_only"] is True
        body = {"command": "halt", "nonce": "n"}
        assert (await served.ask("/api/commands", method="POST", body=body)).code == "read_only"
        assert served.ingress.take() == []
        assert (await served.ask("/api/session", unix=True)).json["read_only"] is False
        assert (await served.ask("/api/logout", method="POST")).status == 200
