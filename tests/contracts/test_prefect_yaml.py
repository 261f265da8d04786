"""prefect.yaml has known keys and valid values: Prefect ignores unknown keys without a warning."""

import importlib
import re
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.project import PROJECT

DOCUMENT = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS = DOCUMENT["deployments"]

TEXT = {"type": "string", "minLength": 1}
NAMES = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}
PARAMETERS = {"type": "object"}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    """Return the schema of a mapping that has these keys, and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


POOL = closed(
    "name work_queue_name job_variables",
    name={"enum": ["slipway", "cpu", "cuda"]},
    work_queue_name={"enum": ["default", "{{ $SLIPWAY_SERVE_QUEUE }}"]},
    job_variables=closed("", gpus={"const": 1}),
)
LIMIT = closed(
    "limit collision_strategy",
    limit={"type": "integer", "minimum": 1},
    collision_strategy={"enum": ["ENQUEUE", "CANCEL_NEW"]},
)
SCHEDULE = closed(
    "slug cron timezone",
    slug=TEXT,
    cron=TEXT,
    timezone={"const": "UTC"},
)
TRIGGER = closed(
    "type name match expect for_each parameters",
    type={"const": "event"},
    name={"type": "string", "pattern": "^(?!slipway: )"},  # deployments/apply.py removes those
    match={"type": "object", "additionalProperties": TEXT, "minProperties": 1},
    expect=NAMES,
    for_each=NAMES,
    parameters=PARAMETERS,
)
DEPLOYMENT = closed(
    "name entrypoint description tags parameters concurrency_limit work_pool",
    name=TEXT,
    entrypoint={"type": "string", "pattern": r"^flows\.\w+:\w+$"},
    description=TEXT,
    tags=NAMES,
    parameters=PARAMETERS,
    concurrency_limit=LIMIT,
    work_pool=POOL,
    enforce_parameter_schema={"const": False},
    schedules={"type": "array", "items": SCHEDULE, "minItems": 1},
    triggers={"type": "array", "items": TRIGGER, "minItems": 1},
)
SCHEMA = closed(
    "name pull definitions deployments",
    name={"const": "slipway"},
    pull={"const": []},
    definitions=closed(
        "cpu cuda light serve releases",
        cpu=POOL,
        cuda=POOL,
        light=POOL,
        serve=POOL,
        releases=LIMIT,
    ),
    deployments={"type": "array", "items": DEPLOYMENT, "minItems": 1},
)

#: A field of a cron expression: numbers, ranges, steps, lists.
CRON_FIELD = re.compile(r"^(\*|\d+(-\d+)?)(/\d+)?(,(\*|\d+(-\d+)?)(/\d+)?)*$")


def flow_of(deployment: dict[str, Any]) -> Any:
    """Import what the deployment's entrypoint names."""
    module, name = deployment["entrypoint"].split(":")
    return getattr(importlib.import_module(module), name)


def test_every_key_is_known() -> None:
    """A misspelt limit would be no limit."""
    jsonschema.validate(DOCUMENT, SCHEMA)

    names = [each["name"] for each in DEPLOYMENTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ((), "deployment"),
        (("definitions", "cpu"), "queue"),
        (("deployments", 0), "concurency_limit"),
        (("deployments", 0, "concurrency_limit"), "colision_strategy"),
        (("deployments", 0, "work_pool"), "work_queue"),
        (("deployments", 3, "schedules", 0), "corn"),
        (("deployments", 3, "triggers", 0), "expectt"),
    ],
)
def test_an_unknown_key_is_refused_wherever_it_stands(place: tuple[Any, ...], key: str) -> None:
    """The schema is closed at every level, so that it can fail."""
    document = yaml.safe_load(yaml.dump(DOCUMENT))  # without what anchors share
    planted = document
    for step in place:
        planted = planted[step]
    planted[key] = "anything"

    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["name"])
def test_an_entrypoint_is_a_flow_that_takes_the_parameters(deployment: dict[str, Any]) -> None:
    """Named by module, since a file's path would put flows/ first on sys.path."""
    flow = flow_of(deployment)

    given, known = deployment["parameters"], flow.parameters
    assert flow.name == deployment["name"].removesuffix(f"-{deployment['work_pool']['name']}")
    assert set(given) <= set(known.properties)
    if "schedules" in deployment:  # nobody can fill in what is missing
        assert set(known.required or ()) <= set(given)
    asked = dict.fromkeys(set(known.required or ()) - set(given), "an answer")
    assert flow.validate_parameters(given | asked) is not None


def test_the_form_of_a_rollback_refuses_a_reason_of_spaces() -> None:
    """The browser checks the schema, and its page says what is wrong before there is a run."""
    deployment = next(each for each in DEPLOYMENTS if each["name"] == "roll-back")
    schema = flow_of(deployment).parameters.properties["reason"]

    jsonschema.validate("it answers in verse", schema)
    with pytest.raises(jsonschema.ValidationError, match="does not match"):
        jsonschema.validate("   ", schema)


@pytest.mark.parametrize(
    ("deployment", "trigger"),
    [(each, trigger) for each in DEPLOYMENTS for trigger in each.get("triggers", ())],
    ids=lambda each: each["name"],
)
def test_an_event_gives_a_flow_parameters_that_it_takes(
    deployment: dict[str, Any], trigger: dict[str, Any]
) -> None:
    """Of the type that it takes; a wrong one would fail without leaving a run behind."""
    flow = flow_of(deployment)
    text = yaml.dump(trigger["parameters"])
    assert "{{ event.resource['slipway.model'] }}" in text.replace("''", "'")

    filled = yaml.safe_load(re.sub(r"""['"]\{\{.*?\}\}['"](?!\])""", "tiny", text))

    assert flow.validate_parameters(filled) is not None


@pytest.mark.parametrize(
    "cron", [item["cron"] for each in DEPLOYMENTS for item in each.get("schedules", ())]
)
def test_a_schedule_is_a_cron_expression(cron: str) -> None:
    """Five fields; a sixth would mean seconds to some, and a year to others."""
    from prefect.client.schemas.schedules import CronSchedule

    fields = cron.split()

    assert len(fields) == 5
    assert all(CRON_FIELD.match(field) for field in fields)
    assert CronSchedule(cron=cron, timezone="UTC").cron == cron
