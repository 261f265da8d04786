"""A story is read in order: what is seen when it breaks is kept, and the rest is not told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error

BROKEN = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Keep a picture of the page on which a test failed, and say where it is."""
    report: pytest.TestReport = yield
    if report.when == "call" and report.failed and isinstance(item, pytest.Function):
        assert item.parent
        item.parent.stash.setdefault(BROKEN, item.name)
        report.sections.append(("what the browser showed", _seen(item)))
    return report


def _seen(item: pytest.Function) -> str:
    page = item.funcargs["person"].page
    path: Path = item.funcargs["tmp_path_factory"].mktemp("seen") / f"{item.name}.png"
    try:
        page.screenshot(path=path)
    except Error as error:
        return f"{page.url}: no picture ({error})"
    return f"{page.url}: {path}"


@pytest.fixture(autouse=True)
def _told_so_far(request: pytest.FixtureRequest) -> None:
    """End a chapter at once when one before it broke: it would only wait for what never comes."""
    broken = request.node.parent.stash.get(BROKEN, None)
    if broken:
        pytest.fail(f"{broken} failed before it", pytrace=False)
