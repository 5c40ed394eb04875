"""The files of the page: the chart library is the pinned one, and the policy forbids nothing that they do."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from engine.api.page import CONTENT_SECURITY_POLICY, assets, chart_library

CHART_VERSION = "5.1.0"
CHART_SHA256 = "756b0ba9f58930226d6b8b9d47ad310448ab85d799ea1f7c2c02304777c10b52"

FILES = assets()
OWN = {path: asset.body.decode() for path, asset in FILES.items() if "lightweight" not in path}
SCRIPTS = {path: text for path, text in OWN.items() if path.endswith(".js")}


def test_the_chart_library_is_the_pinned_one() -> None:
    body = chart_library().read_bytes()
    assert hashlib.sha256(body).hexdigest() == CHART_SHA256
    assert f"TradingView Lightweight Charts™ v{CHART_VERSION}\n" in body.decode()


def test_the_policy_allows_the_style_of_the_chart_librarys_attribution_and_no_other() -> None:
    styles = re.findall(r'innerText="(a#tv-attr-logo[^"]*)"', chart_library().read_text())
    hashes = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles]
    assert re.findall(r"'sha256-([^']*)'", CONTENT_SECURITY_POLICY) == hashes
    assert len(hashes) == 1


def test_the_attribution_of_the_chart_library_stays_visible() -> None:
    assert not [path for path, text in OWN.items() if "tv-attr-logo" in text]
    assert "attributionLogo: true" in OWN["/page/chart.js"]


@pytest.mark.parametrize("path", sorted(OWN))
def test_a_file_of_the_page_refers_to_no_other_host(path: str) -> None:
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", OWN[path])
    assert [address for address in addresses if "www.w3.org" not in address] == []


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_a_script_writes_text_and_never_markup(path: str) -> None:
    unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|\.cssText"
    assert re.findall(unsafe, SCRIPTS[path]) == []
    assert re.findall(r"setAttribute\(\s*[\"'](?:on\w+|style)", SCRIPTS[path]) == []


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_every_import_is_a_file_of_the_page(path: str) -> None:
    names = re.findall(r"^(?:import|export)\b[^;]*?from \"\./([\w-]+\.js)\";", SCRIPTS[path], re.MULTILINE)
    assert [name for name in names if f"/page/{name}" not in FILES] == []


def test_the_page_has_no_inline_script_style_or_handler() -> None:
    page = OWN["/"]
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    references = re.findall(r"(?:src|href)=\"([^\"#]+)\"", page)
    assert references
    assert [reference for reference in references if reference not in FILES] == []
