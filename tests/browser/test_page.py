"""The page against a stand-in: an engine that is away, or another one, or armed; and names with markup."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine.views.shapes import HaltRow
from tests.browser.conftest import Watched
from tests.browser.kit import holds, open_view, shows, stale_after_s, until, wait_fresh, watch_silence
from tests.browser.stand_in import StandIn

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@pytest.fixture
def stand_in() -> Any:
    with StandIn() as server:
        yield server


def open_page(watched: Watched, server: StandIn, view: str = "overview") -> Any:
    page = watched.page
    page.goto(f"{server.address}?token=once#{view}")
    wait_fresh(page)
    return page


def test_the_token_leaves_the_address(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    assert "token" not in page.url
    assert any("token=once" in url for url in watched.requests)
    watched.check(stand_in.address)


def test_names_of_venues_are_shown_as_text(watched: Watched) -> None:
    with StandIn(HOSTILE) as server:
        page = open_page(watched, server)
        assert HOSTILE in page.inner_text("#positions")
        page.click("#positions button.link")
        page.wait_for_selector("#why-chain .asked")
        assert HOSTILE in page.inner_text("#why-chain")
        page.click("#why-close")
        for view in ("market", "trade", "strategies", "events", "health"):
            open_view(page, view)
            page.wait_for_timeout(100)
        assert page.locator("main img, main script").count() == 0
        assert "taken" not in page.title()
        watched.check(server.address)


@pytest.mark.parametrize("way", ["silence", "502"])
def test_a_page_that_receives_nothing_says_so_and_sends_nothing_but_a_halt(
    watched: Watched, stand_in: StandIn, way: str
) -> None:
    watched.allowed = ("502", "ERR_")
    page = open_page(watched, stand_in, "trade")
    page.fill("#ticket-size", "0.1")
    watch_silence(page)
    if way == "502":
        stand_in.status_code = 502
        stand_in.cut()
    else:
        stand_in.silent = True
    assert stale_after_s(page) < 2.0
    assert "Only Halt is sent" in page.inner_text("#line")
    page.evaluate("document.getElementById('ticket').requestSubmit()")
    page.evaluate(
        "for (const b of document.querySelectorAll('button.act, #halt-flatten')) b.disabled = false"
    )
    page.evaluate("document.getElementById('halt-flatten').click()")
    stand_in.status_code, stand_in.silent = 0, False
    page.wait_for_timeout(50)
    wait_fresh(page)
    assert {one["command"] for one in stand_in.commands} <= {"halt"}
    assert page.input_value("#ticket-size") == "0.1"
    watched.check(stand_in.address)


def test_a_halt_is_sent_while_the_page_is_stale(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    stand_in.silent = True
    page.wait_for_selector('#line[data-tone="stale"]')
    page.click("#halt")
    shows(page, "outcome", "halt: done")
    assert [one["command"] for one in stand_in.commands] == ["halt"]


def test_a_page_that_slept_is_stale_until_it_has_read_everything_again(
    watched: Watched, stand_in: StandIn
) -> None:
    page = open_page(watched, stand_in)
    before = len([url for url in watched.requests if "/api/positions" in url])
    # The page's clock jumps, as after a sleep: only the next message that arrives may make it fresh.
    page.evaluate("const now = Date.now; const jump = 60000; Date.now = () => now() + jump")
    page.wait_for_selector('#line[data-tone="stale"]')
    wait_fresh(page)
    assert len([url for url in watched.requests if "/api/positions" in url]) > before
    watched.check(stand_in.address)


def freeze(page: Any, ms: int) -> None:
    """Let nothing run in a tab for a while, as a browser does with one in the background."""
    page.evaluate(f"setTimeout(() => {{ const end = Date.now() + {ms}; while (Date.now() < end); }}, 0), 0")


def test_a_frozen_tab_is_stale_until_it_has_read_everything_again(
    watched: Watched, stand_in: StandIn
) -> None:
    page = open_page(watched, stand_in)
    page.evaluate(
        "window.tones = []; new MutationObserver(() => tones.push("
        "document.getElementById('line').dataset.tone))"
        ".observe(document.getElementById('line'), { attributeFilter: ['data-tone'] }), 0"
    )
    before = len([url for url in watched.requests if "/api/positions" in url])
    freeze(page, 3000)
    until(page, "tones.includes('stale')")
    wait_fresh(page)
    assert len([url for url in watched.requests if "/api/positions" in url]) > before
    watched.check(stand_in.address)


def test_a_tab_takes_over_from_one_that_is_frozen(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    other = Watched(page.context.new_page())
    open_page(other, stand_in)
    watch_silence(other.page)
    freeze(page, 9000)
    assert stale_after_s(other.page) < 2.0
    wait_fresh(other.page)
    assert [url for url in other.requests if "/api/stream" in url] != []


def test_halt_and_flatten_is_one_click(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    page.click("#halt-flatten")
    shows(page, "outcome", "flatten: done")
    assert [(one["command"], one.get("all")) for one in stand_in.commands] == [
        ("halt", None),
        ("flatten", True),
    ]


def test_a_dialog_does_not_cover_the_kill_switch(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    page.locator("#positions button.link").first.click()
    page.click("#why .halt")
    shows(page, "outcome", "halt: done")
    page.locator("#positions button.act").first.click()
    page.click("#confirm .halt")
    until(page, "!document.getElementById('confirm').open")
    page.wait_for_timeout(200)
    assert [one["command"] for one in stand_in.commands] == ["halt", "halt"], "and nothing is flattened"


def test_another_engine_behind_the_port_gets_no_command_but_a_halt(
    watched: Watched, stand_in: StandIn
) -> None:
    watched.allowed = ("409",)
    page = open_page(watched, stand_in, "trade")
    page.fill("#ticket-size", "0.1")
    stand_in.journal = "f" * 32
    stand_in.cut()
    shows(page, "line", "ANOTHER ENGINE")
    page.evaluate("document.getElementById('ticket').requestSubmit()")
    page.click("#halt")
    shows(page, "outcome", "halt: done")
    assert [one["command"] for one in stand_in.commands] == ["halt"]
    assert page.input_value("#ticket-size") == "0.1", "what was typed is not lost to a reload"


def test_without_typed_text_the_page_reloads_for_another_engine(watched: Watched, stand_in: StandIn) -> None:
    watched.allowed = ("409",)
    page = open_page(watched, stand_in)
    stand_in.journal = "f" * 32
    with page.expect_navigation():
        stand_in.cut()
    wait_fresh(page)


def test_what_is_typed_selected_or_aimed_at_does_not_move(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    row = page.locator("#positions tbody tr", has_text="Cross").first
    before = row.bounding_box()
    row.hover()
    for owner in ("Alpha", "Beta", "Aaa"):
        stand_in.send("position", stand_in.position(owner, "2"))
    stand_in.send("position", stand_in.position("Cross", "0.75"))
    until(page, "document.querySelector('#positions tbody').textContent.includes('0.75')")
    assert row.bounding_box() == before
    assert "3 new" in page.inner_text("#positions")
    flat = stand_in.position("Cross", "0")
    flat.wanted = "0.00"
    stand_in.send("position", flat)
    page.wait_for_selector("#positions tr.gone")
    assert row.bounding_box() == before
    assert row.locator("button.act").is_disabled()
    page.mouse.move(5, 5)
    until(page, "document.querySelectorAll('#positions tbody tr').length === 3")

    open_view(page, "strategies")
    field = page.locator("input[aria-label='New value of fast of Cross']")
    field.press_sequentially("2")
    place = field.bounding_box()
    row = stand_in.strategy()
    row.params["fast"] = 11
    row.why = "a longer text than before"
    stand_in.send("strategy", row)
    until(page, "document.querySelector('.param span').textContent === '11'")
    field.press_sequentially("5")
    assert field.input_value() == "25"
    assert field.bounding_box() == place
    watched.check(stand_in.address)


def test_a_selected_text_stays_selected(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    page.locator("#positions tbody td", has_text="97000").dblclick()
    page.mouse.move(5, 5)
    selected = "document.getSelection().toString().trim()"
    assert page.evaluate(selected) == "97000"
    row = stand_in.position("Cross", "0.75")
    row.mark = "98000"
    stand_in.send("position", row)
    stand_in.send("position", stand_in.position("Alpha", "1"))
    until(page, "document.querySelector('#positions tbody').textContent.includes('0.75')")
    assert page.evaluate(selected) == "97000"
    page.evaluate("document.getSelection().removeAllRanges()")
    until(page, "document.querySelector('#positions tbody').textContent.includes('98000')")
    watched.check(stand_in.address)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_real_orders_are_told_from_paper_by_words_and_by_red(watched: Watched, scheme: Any) -> None:
    color = "getComputedStyle({}).{}.match(/[0-9]+/g).slice(0, 3).map(Number)"
    watched.page.emulate_media(color_scheme=scheme)
    for armed, words in ((True, "REAL ORDERS"), (False, "PAPER")):
        with StandIn(armed=armed) as server:
            page = open_page(watched, server)
            assert page.inner_text("#mode") == words
            assert page.title().startswith(words)
            mode = page.evaluate(color.format("document.getElementById('mode')", "backgroundColor"))
            bar = page.evaluate(color.format("document.querySelector('.top')", "borderTopColor"))
            width = page.evaluate("getComputedStyle(document.querySelector('.top')).borderTopWidth")
            red = [found[0] > 150 and found[0] > 2 * max(found[1:]) for found in (mode, bar)]
            assert (all(red) and width != "0px") == armed, (mode, bar, width)


def test_a_real_order_needs_a_second_step_and_shows_its_value_first(watched: Watched) -> None:
    with StandIn(armed=True) as server:
        page = open_page(watched, server, "trade")
        assert page.inner_text("#mode") == "REAL ORDERS"
        page.fill("#ticket-size", "0.1")
        preview = page.inner_text("#ticket-preview")
        assert "value 9\u202f700.10" in preview
        assert "margin 970.01" in preview
        page.click("#ticket-send")
        assert page.locator("#confirm-yes").is_disabled()
        assert server.commands == []
        page.fill("#confirm-input", "sandbox:BTC")
        page.click("#confirm-yes")
        shows(page, "ticket-outcome", "done")
        (command,) = server.commands
        assert command["command"] == "order"
        assert command["size"] == "0.1", "text, never a floating-point number"
        assert command["journal"] == server.journal
        watched.check(server.address)


def test_an_order_without_an_answer_is_sent_again_under_the_same_nonce(
    watched: Watched, stand_in: StandIn
) -> None:
    watched.allowed = ("ERR_",)
    page = open_page(watched, stand_in, "trade")
    page.fill("#ticket-size", "0.1")
    stand_in.lose_answers = True
    page.click("#ticket-send")
    until(page, "document.getElementById('ticket-send').textContent === 'Send again'")
    assert page.locator("#ticket-size").is_disabled()
    stand_in.lose_answers = False
    page.click("#ticket-send")
    shows(page, "ticket-outcome", "done")
    assert len({one["nonce"] for one in stand_in.commands}) == 1
    page.fill("#ticket-size", "0.2")
    page.click("#ticket-send")
    until(page, "document.getElementById('ticket-size').value === ''")
    assert len({one["nonce"] for one in stand_in.commands}) == 2


def test_lifting_a_halt_takes_two_steps(watched: Watched, stand_in: StandIn) -> None:
    stand_in.halts = [HaltRow("engine", "", "by hand", 1, 5), HaltRow("pause", "Cross", "paused", 1, 6)]
    page = open_page(watched, stand_in)
    assert page.inner_text("#line").startswith("HALTED (by hand) · PAUSED (Cross) · ")
    page.click("#lift")
    page.keyboard.press("Escape")
    page.click("#lift")
    page.click("#confirm button[value=no]")
    page.wait_for_timeout(200)
    assert stand_in.commands == []
    page.click("#lift")
    page.click("#confirm-yes")
    shows(page, "outcome", "resume: done")
    assert [(one["command"], one["all"]) for one in stand_in.commands] == [("resume", True)]


def test_the_kill_switch_is_reached_by_the_keyboard_alone(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "halt"
    page.keyboard.press("Enter")
    shows(page, "outcome", "halt: done")
    assert [one["command"] for one in stand_in.commands] == ["halt"]


def test_a_page_that_may_only_look_has_no_way_to_act(watched: Watched, stand_in: StandIn) -> None:
    stand_in.read_only = True
    page = open_page(watched, stand_in, "trade")
    assert not page.locator("#halt").is_visible()
    page.fill("#ticket-size", "0.1")
    page.evaluate("document.getElementById('ticket').requestSubmit()")
    assert "only looks" in page.inner_text("#ticket-preview")
    assert stand_in.commands == []


def test_a_phone_shows_each_view_without_scrolling_sideways(watched: Watched, stand_in: StandIn) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 800})
    page = open_page(watched, stand_in)
    for view in ("overview", "market", "trade", "strategies", "events", "health"):
        open_view(page, view)
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, view
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, [tabindex=\"0\"]')].filter((one) => "
        "!one.hidden && !one.textContent.trim() && !one.getAttribute('aria-label') && !one.labels?.length)"
        ".map((one) => one.outerHTML)"
    )
    assert unnamed == []


def test_a_phone_shows_a_position_and_an_order_as_cards(watched: Watched, stand_in: StandIn) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 800})
    page = open_page(watched, stand_in)
    for place in ("positions", "orders"):
        shown = page.evaluate(
            "place => [...document.querySelectorAll(`#${place} tbody tr:first-child > *`)].map((cell) => {"
            " const box = cell.getBoundingClientRect();"
            " return [cell.dataset.label ?? '', cell.textContent, box.left >= 0 && box.right <= innerWidth,"
            " cell.scrollWidth <= cell.clientWidth]; })",
            place,
        )
        assert len(shown) > 8
        assert [label for label, _, inside, whole in shown if not (inside and whole)] == []
    heights = "['positions', 'orders'].map((place) => document.getElementById(place).offsetHeight)"
    before = page.evaluate(heights)
    stand_in.send("position", stand_in.position("Other", "3"))
    until(page, "document.getElementById('positions').textContent.includes('Other')")
    assert page.evaluate(heights) == before, "no button moves under a finger"
    cards = page.inner_text("#orders")
    assert "stop, reduce-only" in cards
    assert "2000 (2.06 %)" in cards
    watched.check(stand_in.address)


def test_what_a_command_asked_and_has_left_is_in_its_row(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    row = stand_in.command("flatten BTC", "working", [("Cross", "BTC", "0.5")])
    stand_in.send("command", row)
    shows(page, "commands", "flatten BTC")
    assert "left: Cross BTC 0.5" in page.inner_text("#commands tbody tr")


def test_a_repeated_older_row_does_not_replace_what_was_read(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    stand_in.send("position", stand_in.position("Cross", "9"), seq=stand_in.seq - 50)
    stand_in.send("position", stand_in.position("Other", "3"))
    until(page, "document.getElementById('positions').textContent.includes('Other')")
    assert "9" not in page.inner_text("#positions tbody tr:has-text('Cross') td:nth-of-type(2)")


def test_two_tabs_share_one_stream(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    other = Watched(page.context.new_page())
    open_page(other, stand_in)
    stand_in.bid = 97_123
    stand_in.send("price", stand_in.price())
    for one in (page, other.page):
        one.evaluate("location.hash = 'market'")
        until(one, "document.getElementById('quotes').textContent.includes('97123')")
    assert [url for url in other.requests if "/api/stream" in url] == []
    page.close()
    holds(other.page, lambda: any("/api/stream" in url for url in other.requests))
    wait_fresh(other.page)


def test_a_browser_without_locks_reads_a_stream_in_each_tab(watched: Watched, stand_in: StandIn) -> None:
    """As over plain HTTP from another host, where a browser offers no locks."""
    watched.page.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    page = open_page(watched, stand_in, "market")
    stand_in.bid = 97_123
    stand_in.send("price", stand_in.price())
    shows(page, "quotes", "97123")
    stand_in.cut()
    page.wait_for_timeout(1000)
    stand_in.bid = 97_124
    stand_in.send("price", stand_in.price())
    shows(page, "quotes", "97124")


def test_an_interval_is_offered_with_its_first_bar(watched: Watched, stand_in: StandIn) -> None:
    stand_in.intervals = []
    page = open_page(watched, stand_in, "market")
    offered = "[...document.getElementById('market-interval').options].map((one) => one.value).join()"
    assert page.evaluate(offered) == ""
    stand_in.send("bar", stand_in.bar_message(1, forming=False))
    until(page, f"{offered} === '1m'")
    shows(page, "chart-note", "bars")
    watched.check(stand_in.address)


def test_light_and_dark_follow_the_system_and_the_switch(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in)
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert re.findall(r"\d+", dark) < re.findall(r"\d+", light)
    page.click("#theme")
    assert page.evaluate(background) == light
    page.reload()
    wait_fresh(page)
    assert page.evaluate(background) == light


def send_load(stand_in: StandIn, page: Any, seconds: int) -> None:
    """Send what a busy time brings: prices four times a second, a bar that forms, equity, orders, fills."""
    for second in range(seconds):
        for _ in range(4):
            stand_in.bid = 97_000 + second % 500
            stand_in.send("price", stand_in.price())
        stand_in.send("bar", stand_in.bar_message(stand_in.seq // 60, forming=second % 60 != 59))
        stand_in.send("equity", stand_in.account(stand_in.seq))
        stand_in.send("order", stand_in.order(f"s-{stand_in.seq}", "Filled"))
        stand_in.send("fill", stand_in.fill(stand_in.seq))
        if second % 10 == 0:
            page.wait_for_timeout(1)
    until(page, f"document.getElementById('line').textContent.includes('seq {stand_in.seq} ')", 60)


def heap_bytes(page: Any) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return float(page.evaluate("performance.memory.usedJSHeapSize"))


def test_the_memory_of_the_page_is_flat_over_an_hour_of_load(watched: Watched, stand_in: StandIn) -> None:
    page = open_page(watched, stand_in, "market")
    send_load(stand_in, page, 600)
    before = heap_bytes(page)
    send_load(stand_in, page, 3600)
    after = heap_bytes(page)
    print(f"heap {before / 1e6:.1f} MB, an hour later {after / 1e6:.1f} MB")
    assert after < before + 3e6
    watched.check(stand_in.address)
