"""The page in a real browser (Debian's chromium, headless), served by the real process."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from running_service import Running, serving

from penchant.serving.keys import add_key

CHROMIUM = shutil.which("chromium")
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """Somebody at the page, and what the browser complained of meanwhile."""

    def __init__(self, browser: Any, service: Running, **how: Any) -> None:
        self.context = browser.new_context(**how)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)  # of a busy machine
        self.url, self.complaints, self.hosts = service.url, [], set()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.go("/")

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def go(self, view: str) -> None:
        self.page.goto(f"{self.url}/#{view}")

    def rate(self, stars: float = 0.9) -> str:
        """Rate the first that is offered with a click on its stars; its name."""
        slider = self.page.get_by_role("slider", name=re.compile("^Rate ")).first
        slider.wait_for()
        name = slider.get_attribute("aria-label").removeprefix("Rate ")
        box = slider.bounding_box()
        slider.click(position={"x": box["width"] * stars, "y": box["height"] / 2})
        return str(name)

    def recommended(self) -> list[str]:
        """The names of the list, once it is there."""
        rows = self.page.locator("section[aria-labelledby=for-you] li")
        rows.first.wait_for()
        self.page.wait_for_load_state("networkidle")
        return [str(text).splitlines()[0] for text in rows.all_inner_texts()]

    def width_beyond(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def findings(self) -> list[str]:
        """Serious findings of axe on what is shown."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['help']}" for one in found if one["impact"] in ("serious", "critical")]


@pytest.fixture
def visitor(browser: Any, service: Running) -> Iterator[Visitor]:
    visitor = Visitor(browser, service, reduced_motion="reduce")  # nothing moves while it is clicked
    yield visitor
    visitor.context.close()
    assert visitor.complaints == []
    assert visitor.hosts <= {urlsplit(service.url).netloc}, "the page asked another host"


def test_a_rating_brings_a_list_with_reasons_and_the_next_one_changes_it(visitor: Visitor) -> None:
    visitor.page.get_by_text("first rating").first.wait_for()
    name = visitor.rate()
    before = visitor.recommended()
    assert len(before) == 10
    row = visitor.page.locator("section[aria-labelledby=for-you] li").first
    row.get_by_text(name).wait_for()  # because you rated it
    assert f"because you rated {name}" in row.inner_text().replace("\n", " ")
    shown = row.evaluate("row => row.parentElement.innerText")
    visitor.rate(0.1)
    visitor.page.wait_for_function(
        "shown => document.querySelector('section[aria-labelledby=for-you] li')?.parentElement.innerText !== shown",
        arg=shown,
    )
    visitor.page.reload()  # ratings stay in the browser
    assert len(visitor.recommended()) == 10


def test_search_finds_while_typing_and_a_filter_narrows_the_list(visitor: Visitor) -> None:
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("story 4")
    found = visitor.page.get_by_role("dialog", name="Search results")
    found.get_by_text("The Story 4").first.wait_for()
    visitor.page.keyboard.press("Escape")
    visitor.rate()
    visitor.recommended()
    genre = visitor.page.get_by_label("genres").first
    with visitor.page.expect_response("**/v1/recommendations") as answered:
        genre.select_option(index=1)
    wanted = genre.input_value()
    told = answered.value.json()["recommendations"]
    assert told
    assert all(wanted in one["columns"]["genres"] for one in told)


def test_an_item_has_a_page_with_its_neighbours(visitor: Visitor, service: Running) -> None:
    visitor.rate()
    visitor.recommended()
    visitor.page.locator("section[aria-labelledby=for-you] li a").first.click()
    visitor.page.wait_for_url("**/#/item/**")
    similar = visitor.page.get_by_text(re.compile("similar|alike|like this", re.IGNORECASE)).first
    similar.wait_for()


@pytest.mark.parametrize("view", ["/", "/map", "/model"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible_and_fits_a_phone(browser: Any, service: Running, view: str, scheme: str) -> None:
    visitor = Visitor(browser, service, viewport=PHONE, color_scheme=scheme, reduced_motion="reduce")
    visitor.rate()
    visitor.recommended()
    visitor.go(view)
    visitor.page.wait_for_load_state("networkidle")
    assert visitor.width_beyond() <= 0
    assert visitor.findings() == []
    assert visitor.complaints == []
    visitor.context.close()


def test_the_card_tells_what_the_manifest_does(visitor: Visitor, service: Running) -> None:
    visitor.go("/model")
    metrics = service.get("/v1/model").json()["metrics"]["metrics"]
    visitor.page.get_by_role("heading", name="Metrics").wait_for()
    visitor.page.get_by_text(f"{metrics['rmse']:.3f}").first.wait_for()


def test_a_rating_by_keyboard_alone(visitor: Visitor) -> None:
    slider = visitor.page.get_by_role("slider", name=re.compile("^Rate ")).first
    slider.focus()
    for _ in range(3):
        visitor.page.keyboard.press("ArrowRight")
    visitor.page.keyboard.press("Enter")
    assert len(visitor.recommended()) == 10


def test_a_server_that_is_away_is_told_and_tried_again(browser: Any, service: Running) -> None:
    visitor = Visitor(browser, service)
    visitor.page.wait_for_load_state("networkidle")
    visitor.page.route("**/v1/recommendations", lambda route: route.abort())
    visitor.rate()
    again = visitor.page.get_by_role("button", name=re.compile("again", re.IGNORECASE)).first
    again.wait_for()
    visitor.page.unroute("**/v1/recommendations")
    again.click()
    assert len(visitor.recommended()) == 10
    visitor.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_item_and_what_is_found_are_accessible_and_fit_a_phone(browser: Any, service: Running, scheme: str) -> None:
    visitor = Visitor(browser, service, viewport=PHONE, color_scheme=scheme, reduced_motion="reduce")
    visitor.go("/item/7")
    visitor.page.get_by_role("heading", name="Film 7").first.wait_for()
    visitor.page.wait_for_load_state("networkidle")
    assert visitor.width_beyond() <= 0
    assert visitor.findings() == []
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("story")
    visitor.page.get_by_role("dialog", name="Search results").get_by_text("The Story 4").first.wait_for()
    assert visitor.findings() == []
    assert visitor.width_beyond() <= 0
    assert visitor.complaints == []
    visitor.context.close()


def test_too_many_questions_are_told_and_asked_again(browser: Any, service: Running) -> None:
    visitor = Visitor(browser, service, reduced_motion="reduce")
    visitor.page.wait_for_load_state("networkidle")
    refusal = '{"error":{"code":"too_many","message":"Too many requests.","hint":"Send fewer requests a second."}}'
    answer = {"status": 429, "headers": {"Retry-After": "2"}, "content_type": "application/json", "body": refusal}
    visitor.page.route("**/v1/recommendations", lambda route: route.fulfill(**answer))
    visitor.rate()
    visitor.page.get_by_text("too many questions").first.wait_for()
    assert visitor.findings() == []
    visitor.page.unroute("**/v1/recommendations")
    assert len(visitor.recommended()) == 10  # by itself, once the time has passed
    visitor.context.close()


def test_the_dialog_that_asks_for_a_key_is_accessible(browser: Any, film_model: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = add_key(keys, "page", ["read"])
    with serving(film_model, tmp_path, "--keys", str(keys)) as running:
        visitor = Visitor(browser, running, reduced_motion="reduce")
        dialog = visitor.page.get_by_role("dialog")
        dialog.wait_for()
        assert visitor.findings() == []
        dialog.get_by_role("textbox").fill(key)
        dialog.get_by_role("textbox").press("Enter")
        visitor.page.get_by_role("slider", name=re.compile("^Rate ")).first.wait_for()
        visitor.context.close()
