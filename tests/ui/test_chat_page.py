"""The chat page with a server that requires a key, and with a model that writes HTML."""

from collections.abc import Iterator
from threading import Event

import pytest
from playwright.sync_api import expect

from tests.support import browser, page_server
from tests.support.browser import Person

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, Event]]:
    """Serve the page."""
    with page_server.serving() as served:
        yield served


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    """Sit down in front of a browser."""
    program = browser.chromium()
    if not program:
        pytest.skip(browser.MISSING)
    with browser.opened(program, "http://127.0.0.1", ("", "")) as page:
        yield Person(page=page, prefect="", mlflow="", auth=("", ""), pictures=None)


def test_a_key_is_asked_for_where_the_server_requires_one(
    person: Person, address: tuple[str, Event]
) -> None:
    """A wrong one is asked for again; the right one is kept in the page's memory alone."""
    person.page.goto(address[0])
    for key in ("wrong", page_server.KEY):
        expect(person.page.get_by_role("button", name="Use this key")).to_be_visible()
        person.page.get_by_label("Key of this server").fill(key)
        person.page.keyboard.press("Enter")

    expect(person.page.get_by_role("heading", name="Chat with tiny v1")).to_be_visible()
    expect(person.page.get_by_label("Key of this server")).to_be_hidden()
    stored = "[localStorage.length, sessionStorage.length, document.cookie]"
    assert person.page.evaluate(stored) == [0, 0, ""]


def test_a_models_html_is_shown_as_text(person: Person, address: tuple[str, Event]) -> None:
    """No element is made of it; Escape ends the answer, and the server notices."""
    page = person.page
    page.get_by_label("Message").fill("Go on")
    page.keyboard.press("Enter")

    expect(page.get_by_role("log")).to_contain_text(f"{page_server.HTML} and on and on")
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("Stopped.")

    assert page.locator("[role=log] :is(img, b)").count() == 0
    assert page.title() == "Chat with tiny v1"
    assert address[1].wait(30)


def test_an_error_of_the_server_is_shown_in_its_words(
    person: Person, address: tuple[str, Event]
) -> None:
    """In place of the answer; a new conversation begins without what was said."""
    page = person.page
    page.get_by_label("Message").fill("Once more")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("one turn is enough")
    expect(page.get_by_role("log")).to_contain_text("one turn is enough")

    page.get_by_role("button", name="New conversation").click()

    expect(page.get_by_role("log")).to_be_empty()
    expect(page.get_by_label("Message")).to_be_focused()


def test_a_model_is_chosen_where_several_are_served(
    person: Person, address: tuple[str, Event]
) -> None:
    """A new conversation with it begins; the key is still known."""
    page = person.page
    page.get_by_label("Model").select_option("other v2")

    expect(page.get_by_role("heading", name="Chat with other v2")).to_be_visible()
    with page.expect_request("**/v1/chat/completions") as sent:
        page.get_by_label("Message").fill("Go on")
        page.keyboard.press("Enter")
    assert sent.value.post_data_json["model"] == "other"
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("Stopped.")
