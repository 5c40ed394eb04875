"""Tokens, sessions and wrong logins against a clock that the test moves."""

from __future__ import annotations

from hmac import compare_digest

import pytest

from engine.api import sessions
from engine.api.problems import Problem
from engine.api.sessions import Password, Sessions


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """Sessions with a clock, and what was reported as wrong."""

    def __init__(self, password: str | None = None) -> None:
        self.clock = Clock()
        self.wrong: list[tuple[str, str]] = []
        self.sessions = Sessions(
            lambda address, reason: self.wrong.append((address, reason)),
            None if password is None else Password(password),
            self.clock,
        )

    async def code(self, address: str = "1.1.1.1", *, token: str = "", password: str = "") -> str:
        """Return the code of the problem of a login, "" if it succeeds."""
        try:
            await self.sessions.login(address, token=token, password=password)
        except Problem as problem:
            return problem.code
        return ""


async def test_a_token_is_good_for_one_login_within_an_hour() -> None:
    rig = Rig()
    token = rig.sessions.make_token()
    rig.clock.now += 3599
    assert await rig.code(token=token) == ""
    assert await rig.code(token=token) == "login_failed"
    late = rig.sessions.make_token()
    rig.clock.now += 3600
    assert await rig.code(token=late) == "login_failed"


async def test_several_links_are_good_at_a_time_and_their_number_is_bounded() -> None:
    rig = Rig()
    tokens = [rig.sessions.make_token() for _ in range(sessions.TOKENS_MAX + 1)]
    assert await rig.code(token=tokens[0]) == "login_failed"
    assert [await rig.code(token=one) for one in tokens[1:]] == [""] * sessions.TOKENS_MAX


async def test_a_session_ends_when_idle_and_when_old() -> None:
    rig = Rig()
    secret = await rig.sessions.login("1.1.1.1", token=rig.sessions.make_token())
    for _ in range(16):
        rig.clock.now += 10 * 3600
        assert rig.sessions.find(secret) is not None
    rig.clock.now += 8 * 3600
    assert rig.sessions.find(secret) is None, "seven days after the login, however busy"
    secret = await rig.sessions.login("1.1.1.1", token=rig.sessions.make_token())
    session = rig.sessions.find(secret)
    assert session is not None
    rig.clock.now += 12 * 3600
    assert not rig.sessions.is_open(session)
    assert rig.sessions.find(secret) is None, "twelve hours after it was last seen"


async def test_a_logout_ends_this_session_only() -> None:
    rig = Rig()
    first, second = [await rig.sessions.login("1.1.1.1", token=rig.sessions.make_token()) for _ in range(2)]
    session = rig.sessions.find(first)
    assert session is not None
    rig.sessions.logout(session)
    assert rig.sessions.find(first) is None
    assert not rig.sessions.is_open(session)
    assert rig.sessions.find(second) is not None


async def test_sessions_are_bounded_and_the_one_that_is_idle_longest_ends() -> None:
    rig = Rig()
    secrets = []
    for _ in range(sessions.SESSIONS_MAX + 1):
        rig.clock.now += 1
        secrets.append(await rig.sessions.login("1.1.1.1", token=rig.sessions.make_token()))
        assert rig.sessions.find(secrets[0]) is not None, "it is in use"
    assert rig.sessions.find(secrets[1]) is None
    assert all(rig.sessions.find(one) is not None for one in secrets[2:])


async def test_five_wrong_logins_in_five_minutes_and_an_address_has_to_wait() -> None:
    rig = Rig("correct horse")
    codes = [await rig.code(password="wrong") for _ in range(6)]
    assert codes == ["login_failed"] * 5 + ["login_limit"]
    assert await rig.code(password="correct horse") == "login_limit", "the right one has to wait as well"
    assert await rig.code("2.2.2.2", password="correct horse") == "", "another address does not"
    assert await rig.code(token=rig.sessions.make_token()) == "", "nor a fresh link, which nobody guesses"
    assert rig.wrong == [("1.1.1.1", "password")] * 5, "what was not looked at is not recorded"
    rig.clock.now += 301
    assert await rig.code(password="correct horse") == ""


async def test_wrong_logins_from_many_addresses_are_bounded_together() -> None:
    rig = Rig("correct horse")
    codes = [await rig.code(f"10.0.0.{number}", token="wrong") for number in range(40)]
    assert codes.count("login_failed") == sessions.FAILURES_ALL_MAX
    assert codes[-1] == "login_limit"
    assert len(rig.wrong) == sessions.FAILURES_ALL_MAX


async def test_the_table_of_addresses_is_bounded() -> None:
    rig = Rig()
    for number in range(sessions.ADDRESSES_MAX + 50):
        await rig.code(f"a{number}", token="wrong")
        rig.clock.now += 60
    assert len(rig.sessions._failures) <= sessions.ADDRESSES_MAX


async def test_passwords_are_compared_in_constant_time_as_digests_of_one_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    monkeypatch.setattr("engine.api.sessions.hmac.compare_digest", compare)
    rig = Rig("correct horse")
    for password in ("correct horse", "correct hors", "c", "x" * 1000):
        await rig.code(password=password)
    assert len({other for _, other in compared}) == 1
    assert len({one for one, _ in compared}) == 4
    assert {len(part) for pair in compared for part in pair} == {len(compared[0][0])}


async def test_no_secret_is_held_in_clear() -> None:
    rig = Rig("correct horse")
    token = rig.sessions.make_token()
    secret = await rig.sessions.login("1.1.1.1", token=token)
    held = repr(
        [vars(rig.sessions), vars(rig.sessions.password), *map(repr, rig.sessions._sessions.values())]
    )
    for text in (token, secret, "correct horse"):
        assert text not in held


@pytest.mark.parametrize("text", ["", "x" * 10_000, "\ud800", "\x00"])
async def test_no_text_is_a_right_password_or_token_by_accident(text: str) -> None:
    rig = Rig("correct horse")
    assert await rig.code(token=text) == "login_failed"
    assert await rig.code(password=text) == "login_failed"
