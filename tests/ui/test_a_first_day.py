"""A newcomer's first day, in a browser: one ``slipway up``, and nothing but the two UIs.

They start a release from its form, watch it end and read its report. The next morning's weights
have to be approved by a person: they read the figures, approve, and the server serves them. Then
somebody complains, and they roll back. What they did stands in MLflow's UI. In the evening, they
promote the champion to the production environment.

``make pictures`` keeps what they see for README and docs.
"""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from slipway.report.document import PLOT_TEXT
from slipway.tracking.tags import PROMOTED_FROM, PROMOTED_TO
from tests.support import browser
from tests.support.browser import Person
from tests.support.full_stack import Running, by_hand_alone, mlflow_server, running
from tests.support.project import PROJECT, Project
from tests.support.tiny_phi3 import write_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SLIPWAY = ("-c", "from commands.main import main; main()")
SPAIN, MADRID = "What is the capital of Spain?", "The capital of Spain is Madrid."
#: Below an answer on the model server's page; pieces that came at once have no speed.
FIGURES = re.compile(
    r"^\d+ tokens · ([\d.]+ tokens/s · )?first token after [\d.]+ s · finish reason: (stop|length)$"
)
#: Counts the changes of the conversation's text.
COUNT_PIECES = """() => {
  window.pieces = 0;
  const count = (changes) => { window.pieces += changes.length; };
  const what = { characterData: true, subtree: true };
  new MutationObserver(count).observe(document.querySelector("[role=log]"), what);
}"""
RELEASE_SECONDS, REDEPLOY_SECONDS = 500, 300  # a loaded machine takes its time


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the MLflow server of another environment; give its address."""
    if not browser.chromium():
        pytest.skip(browser.MISSING)
    with mlflow_server(tmp_path_factory.mktemp("production")) as url:
        yield url


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, production: str
) -> Iterator[Running]:
    """Run everything as a newcomer does, who chooses no password."""
    folder = tmp_path_factory.mktemp("first-day")
    more = {"SLIPWAY_ENVIRONMENTS": json.dumps({"prod": {"tracking_uri": production}})}
    with running(folder, checkpoint, more, auth=None, arrange=by_hand_alone) as started:
        yield started


@pytest.fixture(scope="module")
def person(everything: Running) -> Iterator[Person]:
    """Sit down in front of a browser."""
    program = browser.chromium()
    assert program
    pictures = os.environ.get("PICTURES")
    with browser.opened(program, everything.url("mlflow"), everything.auth) as page:
        yield Person(
            page=page,
            prefect=everything.url("prefect"),
            mlflow=everything.url("mlflow"),
            auth=everything.auth,
            pictures=Path(pictures) if pictures else None,
        )


def served(everything: Running) -> set[int]:
    """Return the versions that the model server's workers say they serve; 0 before they do."""
    address, found = f"{everything.url('serving')}/ready", set()
    for _ in range(10):
        try:
            answer = httpx.get(address, timeout=60)
        except httpx.TransportError:  # it does not listen yet
            return {0}
        found.add(int(answer.json()["version"]) if answer.is_success else 0)
    return found


def champion(everything: Running) -> int:
    """Return the version that MLflow's registry calls champion."""
    return int(champion_at(everything.url("mlflow"), everything.auth)["version"])


def champion_at(server: str, auth: tuple[str, str] | None = None) -> dict[str, Any]:
    """Return the version that an MLflow server calls champion, as it tells of it."""
    address = f"{server}/api/2.0/mlflow/registered-models/alias"
    query = {"name": "tiny", "alias": "champion"}
    found = httpx.get(address, params=query, auth=auth).raise_for_status()
    version: dict[str, Any] = found.json()["model_version"]
    return version


@contextmanager
def beside(everything: Running, version: str) -> Iterator[str]:
    """Run ``slipway beside`` while the block runs; give the address of the page."""
    process = subprocess.Popen(
        [sys.executable, *SLIPWAY, "beside", "tiny", version],
        env=dict(everything.environment),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        (line,) = itertools.islice((each for each in process.stdout if "on a page" in each), 1)
        yield line.split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_the_addresses_that_were_printed_sign_the_person_in(
    person: Person, everything: Running
) -> None:
    """Both UIs require the generated password; Prefect's link carries it, MLflow asks for it."""
    said = everything.said.read_text(encoding="utf-8")
    (prefect,) = re.findall(r"^  (http\S+) signs you in to Prefect$", said, re.MULTILINE)
    (mlflow,) = re.findall(r"^  (http\S+) is MLflow", said, re.MULTILINE)

    assert person.asks(person.prefect + "/api/admin/version").status_code == 200
    assert httpx.get(person.prefect + "/api/admin/version").status_code == 401
    person.signs_in(prefect, mlflow)


def test_commands_in_another_shell_sign_in_too(everything: Running) -> None:
    """They find the password in the home; nothing but the addresses was exported."""
    servers = {
        "PREFECT_API_URL": f"{everything.url('prefect')}/api",
        "MLFLOW_TRACKING_URI": everything.url("mlflow"),
    }

    status = everything.command(*SLIPWAY, "status", "--json", **servers)
    doctor = everything.command(*SLIPWAY, "doctor", "--json", **servers)

    assert status.returncode == 0, status.stderr
    checks = {each["name"]: each["status"] for each in json.loads(doctor.stdout)}
    assert (checks["prefect sign-in"], checks["mlflow sign-in"]) == ("ok", "ok")


def test_the_form_explains_itself(person: Person) -> None:
    """Each field has a title in words and a line of help, and the list has the model."""
    person.asks_for_a_run("release-model")
    told = {
        "Model": "What to release: an entry of catalogue.toml.",
        "Branch, tag or commit (Optional)": "left empty, what the catalogue says",
        "What to build (Optional)": "The catalogue's candidates, of which the gates choose",
        "Reason (Optional)": "Why you start it, for the record.",
        "Lift its quarantine (Optional)": "Let this release serve again",
    }

    for title, help_text in told.items():
        expect(person.page.get_by_text(title, exact=True)).to_be_visible()
        expect(person.page.get_by_text(help_text)).to_be_visible()
    expect(person.page.get_by_label("What to build")).to_have_text("as in the catalogue")
    expect(person.page.get_by_text("None", exact=True)).to_have_count(0)
    person.picks("Model", "tiny")
    person.takes_picture("prefect-form")


def test_a_form_without_a_model_is_refused(person: Person) -> None:
    """The field says what is missing, and no run is made."""
    person.asks_for_a_run("release-model")
    person.submits()

    expect(person.page.get_by_text("'model' is a required property").first).to_be_visible()
    expect(person.page.get_by_role("button", name="Submit")).to_be_visible()


def test_an_unknown_recipe_is_refused(person: Person) -> None:
    """Whoever writes one by hand is told those that exist, and no run is made."""
    person.asks_for_a_run("release-model")
    person.picks("Model", "tiny")
    person.writes_json("What to build", '"int3"')
    person.submits()

    refusal = "'int3' is not one of ['as in the catalogue', 'int4', 'int8', 'fp32']"
    expect(person.page.get_by_text(refusal).first).to_be_visible()
    expect(person.page.get_by_role("button", name="Submit")).to_be_visible()


@pytest.mark.parametrize(
    ("reason", "refusal"),
    [("", "'reason' is a required property"), ("   ", "'   ' does not match")],
    ids=["none", "spaces"],
)
def test_a_rollback_without_a_reason_is_refused(person: Person, reason: str, refusal: str) -> None:
    """It stands in the history for ever, so that it has to say something."""
    person.asks_for_a_run("roll-back")
    person.picks("Model", "tiny")
    person.writes("Reason", reason)
    person.submits()

    expect(person.page.get_by_text(refusal).first).to_be_visible()
    expect(person.page.get_by_role("button", name="Submit")).to_be_visible()


def test_a_release_is_started_and_watched_to_its_end(person: Person) -> None:
    """Its page shows the state as it changes, and the run is named after what it releases."""
    person.asks_for_a_run("release-model")
    person.picks("Model", "tiny")
    person.starts()

    person.comes_back_when_it_ended(RELEASE_SECONDS)

    expect(person.state("Completed")).to_be_visible()
    name = person.knows_of_run(person.page.url)["name"]
    assert name.startswith("tiny, digest ")
    expect(person.page.get_by_text(name).first).to_be_visible()
    expect(person.page.get_by_text("14 Task runs")).to_be_visible()
    expect(person.page.locator("canvas").first).to_be_visible()  # the graph of its tasks
    person.takes_picture("prefect-run")


def test_its_report_shows_a_picture_and_leads_to_mlflow(person: Person) -> None:
    """From the run's page to the report, and from there to the MLflow run of the same name."""
    page = person.page
    name = person.knows_of_run(page.url)["name"].partition(", ")[2]
    assert name.endswith(" cpu-fp32")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_role("link", name="release-report-tiny").click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    picture = page.get_by_role("img", name=PLOT_TEXT)
    expect(picture).to_be_visible()
    assert picture.evaluate("it => it.decode().then(() => it.naturalWidth)") > 0

    links = [person.address(each) for each in ("Prefect run", "MLflow run")]
    for link in links:
        assert person.opens(link) == 200
        expect(page.get_by_text(name).first).to_be_visible()


def test_the_champion_answers_on_the_servers_page(person: Person, everything: Running) -> None:
    """The text appears piece by piece, then its figures; nothing is loaded from elsewhere."""
    person.waits_until(lambda: served(everything) == {1}, REDEPLOY_SECONDS, "version 1 serves")
    asked: list[str] = []
    person.page.on("request", lambda request: asked.append(request.url))

    person.chats_at(f"{everything.url('serving')}/", "Chat with tiny v1")
    person.page.evaluate(COUNT_PIECES)
    answers = person.says(SPAIN)

    assert answers == [MADRID]
    assert person.page.evaluate("pieces") > 1
    expect(person.page.get_by_text(FIGURES)).to_be_visible()
    elsewhere = [url for url in asked if not url.startswith((everything.url("serving"), "data:"))]
    assert elsewhere == []
    person.takes_picture("chat")


def test_new_weights_are_released_up_to_a_persons_word(person: Person, everything: Running) -> None:
    """Somebody trained further, and wants to be asked before what comes of it serves."""
    project = Project(everything.home.parent)
    write_checkpoint(project.checkpoint, seed=1)
    project.edit('suite = "brief"', 'suite = "brief"\napproval = "manual"')
    person.asks_for_a_run("release-model")
    person.picks("Model", "tiny")
    person.starts()

    person.finds_run("approve tiny", RELEASE_SECONDS)
    expect(person.state("Suspended")).to_be_visible()
    assert champion(everything) == 1


def test_an_approval_without_a_word_is_refused(person: Person) -> None:
    """The form stays, and says what is missing."""
    form = person.resumes()
    form.get_by_role("button", name="Resume").click()

    expect(person.page.get_by_text("is a required property").first).to_be_visible()
    expect(form).to_be_visible()
    form.get_by_role("button", name="Cancel").click()
    expect(form).to_be_hidden()


def test_both_versions_answer_side_by_side(person: Person, everything: Running) -> None:
    """The form names the command; the page then asks both versions the same."""
    form = person.resumes()
    expect(form).to_contain_text("slipway beside tiny 2")
    assert person.address("Chat with the champion") == f"{everything.url('serving')}/"
    address = person.page.url

    with beside(everything, "2") as page:
        person.chats_at(page, "Chat with tiny v1 and tiny v2")
        answers = person.says(SPAIN)
        assert len(answers) == 2
        assert all(answers)
        expect(person.page.get_by_text(FIGURES)).to_have_count(2)
        person.takes_picture("chat-side-by-side")
    person.page.goto(address)


def test_a_person_reads_the_figures_and_approves(person: Person, everything: Running) -> None:
    """The form says what would happen, shows figures, and leads to the version in MLflow."""
    form = person.resumes()
    said = "Version 2 of tiny becomes the champion, in place of version 1, if a person approves it"
    expect(form).to_contain_text(said)
    expect(form).to_contain_text("Median latency of an answer")
    assert person.asks(person.address("The version in MLflow")).status_code == 200
    person.picks("Decision", "approve")
    person.writes("Reason", "read and good")
    person.takes_picture("prefect-approve")
    form.get_by_role("button", name="Resume").click()

    expect(person.page.get_by_text("Flow run resumed")).to_be_visible()
    person.comes_back_when_it_ended(REDEPLOY_SECONDS)

    expect(person.state("Completed")).to_be_visible()
    assert champion(everything) == 2


def test_the_approved_version_serves(person: Person, everything: Running) -> None:
    """An event made the server follow the alias; an answer says which version gave it."""
    person.waits_until(lambda: served(everything) == {2}, REDEPLOY_SECONDS, "version 2 serves")

    question = {"role": "user", "content": "What is the capital of Spain?"}
    asked = {"model": "tiny", "messages": [question], "max_tokens": 16}
    answer = httpx.post(f"{everything.url('serving')}/v1/chat/completions", json=asked, timeout=60)
    assert answer.headers["X-Model-Version"] == "2"


def test_a_rollback_lets_the_version_of_before_serve(person: Person, everything: Running) -> None:
    """From its form; the version that it takes out is quarantined, with the person's words."""
    person.asks_for_a_run("roll-back")
    person.picks("Model", "tiny")
    person.writes("Reason", "it answers in verse")
    person.starts()
    person.comes_back_when_it_ended(REDEPLOY_SECONDS)

    expect(person.state("Completed")).to_be_visible()
    assert champion(everything) == 1
    person.waits_until(
        lambda: served(everything) == {1}, REDEPLOY_SECONDS, "version 1 serves again"
    )


def test_mlflow_shows_what_became_of_both_versions(person: Person) -> None:
    """The page of each has its aliases, and the tags that say why."""
    page = person.page
    person.looks_up_version("tiny", 1)
    expect(page.get_by_text("champion", exact=False).first).to_be_visible()
    expect(page.get_by_text("slipway.commit")).to_be_visible()
    person.takes_picture("mlflow-version")

    person.looks_up_version("tiny", 2)
    expect(page.get_by_text("slipway.quarantined")).to_be_visible()
    expect(page.get_by_text("it answers in verse").first).to_be_visible()


def test_the_history_tells_who_did_what(everything: Running) -> None:
    """Three reigns, each begun by a person in Prefect's UI, with the reasons they gave."""
    told = everything.command(*SLIPWAY, "history", "tiny", "--json")

    reigns = json.loads(told.stdout)
    assert [(each["version"], each["kind"]) for each in reigns] == [
        (1, "promotion"),
        (2, "promotion"),
        (1, "rollback"),
    ]
    assert {each["audit"]["actor"] for each in reigns} == {"Prefect UI"}
    assert [each["audit"]["reason"] for each in reigns[1:]] == [
        "read and good",
        "it answers in verse",
    ]


def test_the_champion_is_promoted_to_another_environment(
    person: Person, everything: Running, production: str
) -> None:
    """The form offers the environments of the settings; both registries then name the other."""
    person.asks_for_a_run("promote-release")
    person.picks("Model", "tiny")
    person.picks("Environment", "prod")
    person.takes_picture("prefect-promote")
    person.starts()

    person.comes_back_when_it_ended(RELEASE_SECONDS)

    expect(person.state("Completed")).to_be_visible()
    there = {each["key"]: each["value"] for each in champion_at(production)["tags"]}
    assert there[PROMOTED_FROM] == "dev v1"
    person.looks_up_version("tiny", 1)
    expect(person.page.get_by_text(f"{PROMOTED_TO}.prod")).to_be_visible()
