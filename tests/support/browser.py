"""A person in front of the UIs: a headless Chromium, and words for what the person does there."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from playwright.sync_api import Locator, Page, expect, sync_playwright

#: Debian's, Ubuntu's, and Google's own; the variable CHROMIUM names another.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "no Chromium is here: apt-get install chromium (Debian) or chromium-browser (Ubuntu), or let "
    "CHROMIUM name one"
)

_ARGUMENTS = (
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync"),
    # Draws the graph of a run, which needs WebGL, without a graphics card.
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--disable-background-networking", "--disable-component-update"),
)
_SIZE = {"width": 1280, "height": 1000}
_PATIENCE_MS = 30_000
_LOOK_SECONDS = 5.0


def chromium() -> str | None:
    """Return the browser's program; None if there is none."""
    named = os.environ.get("CHROMIUM")
    found = map(shutil.which, (named,) if named else BROWSERS)
    return next((program for program in found if program), None)


@contextmanager
def opened(program: str, mlflow: str, auth: tuple[str, str]) -> Iterator[Page]:
    """Open a page that is as large as most people's, in light colours.

    Whoever sits there answers the browser's dialog for MLflow with ``auth``.
    """
    answer = dict(zip(("username", "password"), auth, strict=True)) | {"origin": mlflow}
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        page = browser.new_page(viewport=_SIZE, color_scheme="light", http_credentials=answer)  # type: ignore[arg-type]
        page.set_default_timeout(_PATIENCE_MS)
        yield page
        browser.close()


@dataclass(frozen=True)
class Person:
    """Somebody who knows the two addresses that ``slipway up`` prints, and nothing else.

    Attributes:
        page: What they look at.
        prefect: Address of Prefect's UI.
        mlflow: Address of MLflow's UI.
        auth: User and password of both.
        pictures: Folder for pictures of what they see; None for no pictures.
    """

    page: Page
    prefect: str
    mlflow: str
    auth: tuple[str, str]
    pictures: Path | None

    def asks(self, address: str) -> httpx.Response:
        """Return what is at an address, without the browser."""
        return httpx.get(address, auth=self.auth, timeout=60)

    def signs_in(self, prefect: str, mlflow: str) -> None:
        """Open the addresses that ``slipway up`` has printed, and see both UIs."""
        self.page.goto(prefect)
        expect(self.page.get_by_role("link", name="Deployments", exact=True).first).to_be_visible()
        with self.page.expect_response("**/registered-models/search*") as asked:
            self.page.goto(mlflow)
        assert asked.value.ok
        expect(self.page.get_by_role("link", name="Experiments").first).to_be_visible()

    def asks_for_a_run(self, deployment: str) -> None:
        """Go from the first page to a deployment's run form."""
        self.page.goto(self.prefect)
        self.page.get_by_role("link", name="Deployments", exact=True).click()
        self.page.get_by_role("link", name=deployment, exact=True).first.click()
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Custom run").click()
        expect(self.page.get_by_label("Model")).to_be_visible()

    def picks(self, title: str, option: str) -> None:
        """Choose from the list under a title."""
        field = self.page.get_by_label(title)
        field.click()
        self.page.get_by_role("option", name=option, exact=True).click()
        expect(field).to_have_text(option)

    def writes(self, title: str, text: str) -> None:
        """Fill in the field under a title."""
        self.page.get_by_label(title).fill(text)
        expect(self.page.get_by_label(title)).to_have_value(text)

    def writes_json(self, title: str, text: str) -> None:
        """Fill in a field as JSON, as its menu offers for whatever a list does not have."""
        label = self.page.locator("label", has_text=title)
        label.locator("xpath=../..").get_by_role("button", name="Open menu").click()
        self.page.get_by_role("menuitem", name="Use JSON Input").click()
        self.page.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.type(text)

    def submits(self) -> None:
        """Press the form's button."""
        self.page.get_by_role("button", name="Submit", exact=True).click()

    def starts(self) -> None:
        """Press the form's button; it leads to the run's page."""
        self.submits()
        self.page.get_by_role("button", name="View run").click()
        expect(self.state("Scheduled", "Pending", "Running", "Completed")).to_be_visible()

    def state(self, *names: str) -> Locator:
        """Return the badge of a run's state, where it is one of these."""
        badges = [self.page.get_by_text(name, exact=True) for name in names]
        return badges[0].first if len(badges) == 1 else _any(badges).first

    def finds_run(self, name: str, seconds: float) -> None:
        """Open a run's page from the list of runs, looking there until it is listed."""

        def listed() -> bool:
            self.page.goto(f"{self.prefect}/v2/runs")
            expect(self.page.locator("a[href*='/runs/flow-run/']").first).to_be_visible()
            return self.page.get_by_role("link", name=name).count() > 0

        self.waits_until(listed, seconds, f"a run {name!r} is listed")
        self.page.get_by_role("link", name=name).first.click()

    def waits_until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        """Look elsewhere meanwhile: drawing a run's graph takes as much as the run itself.

        Raises:
            AssertionError: If it does not become true in that time.
        """
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
            self.page.goto("about:blank")
            time.sleep(_LOOK_SECONDS)

    def comes_back_when_it_ended(self, seconds: float) -> None:
        """Leave a run's page, and return to it later."""
        address = self.page.url

        def ended() -> bool:
            state = self.knows_of_run(address)["state_type"]
            return state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

        self.waits_until(ended, seconds, f"{address} ended")
        self.page.goto(address)

    def knows_of_run(self, address: str) -> dict[str, Any]:
        """Return what Prefect keeps of the run whose page has this address."""
        run_id = address.partition("/flow-run/")[2].partition("?")[0]
        run = self.asks(f"{self.prefect}/api/flow_runs/{run_id}").raise_for_status()
        known: dict[str, Any] = run.json()
        return known

    def resumes(self) -> Locator:
        """Open the form of a suspended run, on its page."""
        self.page.get_by_role("button", name="Open menu").click()
        self.page.get_by_role("menuitem", name="Resume").click()
        form = self.page.get_by_role("dialog")
        expect(form).to_contain_text("Reason")
        return form

    def chats_at(self, address: str, title: str) -> None:
        """Open the page of a model server, which names the versions that answer."""
        self.page.goto(address)
        expect(self.page.get_by_role("heading", name=title, exact=True)).to_be_visible()

    def says(self, text: str) -> list[str]:
        """Send a message by keyboard, and return the newest answers when they are complete."""
        field, log = self.page.get_by_label("Message"), self.page.get_by_role("log")
        field.fill(text)
        field.press("Enter")
        expect(self.page.get_by_role("status")).to_have_text("Answered.")
        return log.locator(".pair").last.get_by_role("paragraph").all_inner_texts()

    def looks_up_version(self, model: str, version: int) -> None:
        """Go to a version's page in MLflow."""
        self.page.goto(f"{self.mlflow}/#/models/{model}/versions/{version}")
        self.page.reload()
        expect(self.page.get_by_text(f"Version {version}").first).to_be_visible()

    def opens(self, address: str) -> int:
        """Go to an address, and return the status of the answer."""
        answer = self.page.goto(address)
        assert answer
        return answer.status

    def address(self, link: str) -> str:
        """Return where a link on the page leads."""
        found = self.page.get_by_role("link", name=link).first.get_attribute("href")
        assert found
        return urljoin(self.page.url, found)

    def takes_picture(self, name: str) -> None:
        """Keep what is seen once it is drawn, if pictures are wanted."""
        if self.pictures:
            self.pictures.mkdir(parents=True, exist_ok=True)
            self.pictures.joinpath(f"{name}.png").write_bytes(self._settled())

    def _settled(self) -> bytes:
        """Return what the page looks like when it has not changed for three seconds."""
        seen: list[bytes] = []
        while len(seen) < 30 and (len(seen) < 4 or len(set(seen[-3:])) > 1):
            self.page.wait_for_timeout(1000)
            seen.append(self.page.screenshot())
        return seen[-1]


def _any(places: list[Locator]) -> Locator:
    found = places[0]
    for place in places[1:]:
        found = found.or_(place)
    return found
