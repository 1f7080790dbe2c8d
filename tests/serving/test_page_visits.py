"""The page with other models than one of ratings and names, and what else may happen to a visitor."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_service import Running, serving

import penchant
from penchant.data.synthetic import planted
from penchant.serving.keys import add_key

CHROMIUM = shutil.which("chromium")
HOSTILE = "<img src=x onerror=document.title='owned'>"
BUSY = '{"error":{"code":"overloaded","message":"Too many requests are waiting.","hint":"Try again in a moment."}}'

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens the page of a service as somebody new; no script may fail there, and nothing break the policy."""
    contexts, errors = [], []

    def open_it(service: Running, view: str = "", **how: Any) -> Any:
        contexts.append(browser.new_context(reduced_motion="reduce", **how))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)  # of a busy machine
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(f"{service.url}/{view}")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert errors == []


def rate(page: Any, share: float = 0.9) -> str:
    """A click on the stars of the first that is offered; its name."""
    slider = page.locator(".starters [role=slider]").first
    slider.wait_for()
    name = slider.get_attribute("aria-label").removeprefix("Rate ")
    box = slider.locator(".stars-row").bounding_box()
    with page.expect_response("**/v1/recommendations"):
        slider.locator(".stars-row").click(position={"x": share * box["width"], "y": box["height"] / 2})
    return str(name)


def test_a_model_that_ranks_only_takes_likes(visit: Callable[..., Any], ranking_model: Path, tmp_path: Path) -> None:
    with serving(ranking_model, tmp_path) as service:
        page = visit(service)
        page.locator(".starters .like").first.click()
        page.locator(".recommendations > .row").nth(9).wait_for()
        assert "because you like" in page.locator(".recommendations").inner_text()
        assert page.get_by_role("slider", name="Rate").count() == page.locator(".interval").count() == 0
        page.goto(f"{service.url}/#/model")
        page.get_by_role("rowheader", name="ndcg@10").wait_for()


def test_a_table_without_names_or_columns(visit: Callable[..., Any], tmp_path: Path) -> None:
    model = penchant.fit(planted(60, 90, 2_500, seed=2), "mf", epochs=3, factors=4).save(tmp_path / "model")
    with serving(model, tmp_path) as service:
        page = visit(service)
        name = rate(page)
        page.locator(".recommendations > .row").nth(9).wait_for()
        page.locator(f"[aria-label='Remove {name}']").wait_for()
        assert page.locator(".wish select").count() == 1  # how many; nothing can be filtered by
        page.goto(f"{service.url}/#/map")
        page.get_by_role("application", name="Map of 90 items").wait_for()
        assert page.get_by_label("Colour by").input_value() == "number of ratings"


def test_names_are_text_and_never_a_part_of_the_page(visit: Callable[..., Any], service: Running) -> None:
    page = visit(service)

    def renamed(route: Any) -> None:
        answer = route.fetch().json()
        for item in answer["items"]:
            item["name"] = HOSTILE
        route.fulfill(json=answer)

    page.route("**/v1/items?*", renamed)
    page.reload()
    rate(page)
    page.locator(".mine").get_by_text(HOSTILE).wait_for()
    assert page.title() == "For you · penchant"
    assert page.locator("img[src=x]").count() == 0


def test_what_is_rated_can_be_undone_and_forgotten(visit: Callable[..., Any], service: Running) -> None:
    page = visit(service)
    first, second = rate(page), rate(page, 0.5)
    assert page.locator(".mine > li").count() == 2
    page.get_by_role("button", name=f"Remove {second}").click()
    page.locator(f".starters [aria-label='Rate {second}']").wait_for()
    page.get_by_role("button", name="Forget my ratings").click()
    page.get_by_role("button", name="Forget them").click()
    page.get_by_text("Your list starts with your first rating.").wait_for()
    assert page.evaluate("Object.keys(localStorage).filter(name => name.includes('ratings'))") == []
    page.locator(f".starters [aria-label='Rate {first}']").wait_for()


def test_ratings_of_items_that_the_model_does_not_know_are_set_aside(
    visit: Callable[..., Any], service: Running
) -> None:
    page = visit(service)
    rate(page)
    page.evaluate(
        """() => {
          const [name] = Object.keys(localStorage).filter((one) => one.startsWith("penchant.ratings"));
          const kept = JSON.parse(localStorage.getItem(name));
          localStorage.setItem(name, JSON.stringify([{ ...kept[0], item: 987654321, name: "Elsewhere" }, ...kept]));
        }"""
    )
    page.reload()
    page.get_by_text("1 item this model does not know").wait_for()
    page.locator(".recommendations > .row").nth(9).wait_for()


def test_a_busy_server_is_asked_again_by_itself(visit: Callable[..., Any], service: Running) -> None:
    page = visit(service)
    refusals = iter([503])

    def refuse_once(route: Any) -> None:
        status = next(refusals, None)
        if status is None:
            return route.continue_()
        headers = {"Retry-After": "1", "Content-Type": "application/json"}
        return route.fulfill(status=status, headers=headers, body=BUSY)

    page.route("**/v1/recommendations", refuse_once)
    rate(page)
    page.get_by_text("The server is busy.").first.wait_for()
    page.get_by_text("Trying again in 1 s.").wait_for()
    page.locator(".recommendations > .row").nth(9).wait_for()


def test_a_key_is_asked_for_once_and_kept_for_the_tab(
    visit: Callable[..., Any], film_model: Path, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "keys.json", "page", ["read"])
    with serving(film_model, tmp_path, "--keys", str(tmp_path / "keys.json")) as service:
        page = visit(service)
        for title, given in (("An API key, please", "not the key"), ("This key does not do", key)):
            dialog = page.get_by_role("dialog", name=title)
            dialog.get_by_role("textbox", name="API key").fill(given)
            dialog.get_by_role("button", name="Use it").click()
        rate(page)
        page.reload()
        page.locator(".recommendations > .row").nth(9).wait_for()
        assert page.evaluate("sessionStorage.getItem('penchant.key')") == key
        assert key not in page.evaluate("JSON.stringify(localStorage)")


def test_the_map_is_walked_by_keyboard(visit: Callable[..., Any], service: Running) -> None:
    page = visit(service, "#/map")
    canvas = page.get_by_role("application", name=re.compile("Map of"))
    canvas.focus()
    page.locator(".in-view button").first.wait_for()
    canvas.press("ArrowRight")
    page.locator(".map-card a.name").wait_for()
    for key in ("+", "ArrowUp", "ArrowLeft", "0"):
        canvas.press(key)
    name = page.locator(".map-card a.name").inner_text()
    canvas.press("Enter")
    page.get_by_role("heading", level=1, name=name).wait_for()


def test_the_theme_is_chosen_and_kept(visit: Callable[..., Any], service: Running) -> None:
    page = visit(service, color_scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    page.locator(".starters [role=slider]").first.wait_for()
    light = page.evaluate(ground)
    page.get_by_role("button", name="Use the dark theme").click()
    dark = page.evaluate(ground)
    page.reload()
    assert page.evaluate(ground) == dark != light


def test_what_is_typed_before_the_model_is_there_is_searched_then(visit: Callable[..., Any], service: Running) -> None:
    page = visit(service)
    held: list[Any] = []
    page.route("**/v1/model", lambda route: held.append(route))
    with page.expect_request("**/v1/model"):
        page.reload()
    page.keyboard.press("/")
    page.keyboard.type("story 4")
    held[0].continue_()
    page.get_by_role("dialog", name="Search results").get_by_text("The Story 4").first.wait_for()
