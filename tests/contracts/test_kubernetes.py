"""deployments/kubernetes is not run here; its objects are validated, and what they name exists."""

import json
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect.utilities.templating import apply_values

from slipway.settings import Settings, public_variables
from tests.support.project import PROJECT

BASE = PROJECT / "deployments" / "kubernetes"
VERSIONS = ("1.30", "1.34")


def kustomization(folder: Path) -> Any:
    """Return what a folder says about itself."""
    return yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))


def objects(folder: Path) -> list[dict[str, Any]]:
    """Return the objects of a folder."""
    return [
        each
        for name in kustomization(folder)["resources"]
        for each in yaml.safe_load_all((folder / name).read_text(encoding="utf-8"))
    ]


JOBS = BASE / "jobs"
TEMPLATE = json.loads((JOBS / "job-template.json").read_text(encoding="utf-8"))
OBJECTS = objects(BASE)
WITH_PODS = [each for each in OBJECTS if each["kind"] in {"StatefulSet", "Job"}]
(JOB_WORKER,) = (each for each in objects(JOBS) if each["kind"] == "Deployment")
SETTINGS = next(each for each in OBJECTS if each["kind"] == "ConfigMap")["data"]


def containers() -> list[tuple[str, dict[str, Any]]]:
    """Return every container with the name of its pods."""
    return [
        (each["metadata"]["name"], container)
        for each in WITH_PODS
        for container in each["spec"]["template"]["spec"]["containers"]
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "thing",
    [*OBJECTS, *objects(JOBS)],
    ids=lambda each: f"{each['kind']}-{each['metadata']['name']}",
)
def test_an_object_is_what_kubernetes_accepts(thing: dict[str, Any], version: str) -> None:
    """By the schemas of its API: a misspelt field would be dropped without a word."""
    kubernetes_validate.validate(thing, version, strict=True)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_the_base_can_be_rendered() -> None:
    """Every object is in the namespace, and has the image that the base names."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(BASE)],  # noqa: S607 - whichever is installed
        capture_output=True,
        text=True,
        check=True,
    )
    rendered = list(yaml.safe_load_all(done.stdout))

    assert len(rendered) == len(OBJECTS)
    assert {each["metadata"]["namespace"] for each in rendered} == {"slipway"}
    assert set(re.findall(r"image: (.*)", done.stdout)) == {"registry.example/slipway:0.1.0"}


@pytest.mark.parametrize("folder", [BASE, JOBS], ids=lambda each: each.name)
def test_every_file_is_applied(folder: Path) -> None:
    """One that nobody names is forgotten."""
    files = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}

    assert files == set(kustomization(folder)["resources"])


def test_a_service_leads_to_pods_that_are_there() -> None:
    """By their label; the address of every part in the settings has such a service."""
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in WITH_PODS
    }
    leads = {
        each["metadata"]["name"]: each["spec"]["selector"]
        for each in OBJECTS
        if each["kind"] == "Service"
    }
    hosts = {SETTINGS[f"SLIPWAY_{each}_URL"].split("/")[2].split(":")[0] for each in PARTS}

    assert {name: labels[name] for name in leads} == leads
    assert hosts <= leads.keys()


PARTS = ("PREFECT", "MLFLOW", "RECEIVER", "SERVING")


def test_every_setting_is_one() -> None:
    """A misspelt one would be ignored; none with a secret is in the ConfigMap."""
    known = {*public_variables(), "HF_ENDPOINT", "TMPDIR"}
    listens = {
        each["name"]: each["value"]
        for _, container in containers()
        for each in container["env"]
        if "value" in each
    }

    assert SETTINGS.keys() <= known
    assert listens.keys() <= known
    for name, text in listens.items():
        Settings(**{name.removeprefix("SLIPWAY_").lower(): text})


def test_redeploys_go_to_the_pod_of_the_model_server() -> None:
    """The worker beside it takes the queue of its own host, and sees the server's processes."""
    server = next(each for each in WITH_PODS if each["metadata"]["name"] == "model-server")
    pod = server["spec"]["template"]["spec"]
    (mounts,) = {str(each["volumeMounts"]) for each in pod["containers"]}

    assert SETTINGS["SLIPWAY_SERVING_HOST"] == f"{server['metadata']['name']}-0"
    assert server["spec"]["replicas"] == 1
    assert pod["shareProcessNamespace"] is True
    assert "/slipway/home" in mounts
    assert {"name": "SLIPWAY_WORKER_QUEUES", "value": "serve"} in pod["containers"][1]["env"]
    others = [c for name, c in containers() if "worker" in c["command"] and name != "model-server"]
    assert [c["env"][1] for c in others] == [{"name": "SLIPWAY_WORKER_QUEUES", "value": "default"}]


@pytest.mark.parametrize(("pods", "container"), containers(), ids=lambda each: str(each)[:20])
def test_a_container_runs_with_few_rights(pods: str, container: dict[str, Any]) -> None:
    """As another user than root, with limits, and with a probe if it runs for long."""
    probes = {"readinessProbe", "livenessProbe"} & container.keys()

    assert_few_rights(container)
    assert probes or pods == "apply"
    assert find_spec(container["command"][3])
    assert all(
        each["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] for each in WITH_PODS
    )


def assert_few_rights(container: dict[str, Any]) -> None:
    """Assert that a container can neither gain rights, nor write its root, nor take all memory."""
    context = container["securityContext"]

    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]


def test_a_probe_names_a_host_that_the_servers_know() -> None:
    """They refuse requests under the address of a pod, which Kubernetes would ask."""
    asked = [
        container[kind]["httpGet"]
        for _, container in containers()
        for kind in ("startupProbe", "readinessProbe", "livenessProbe")
        if "httpGet" in container.get(kind, {})
    ]

    assert asked
    assert all(each["httpHeaders"] == [{"name": "Host", "value": "localhost"}] for each in asked)


def test_the_readme_makes_every_secret() -> None:
    """No value of one is in the files."""
    keys = {
        each["valueFrom"]["secretKeyRef"]["key"]
        for _, container in containers()
        for each in container["env"]
        if "valueFrom" in each
    }
    text = (BASE / "README.md").read_text(encoding="utf-8")

    made = set(re.findall(r"--from-literal=([\w-]+)=", text)) | {"hub-token", "hub-webhook"}
    assert made == keys


def job(**variables: Any) -> dict[str, Any]:
    """Return the Job of a release, as a worker makes it of the template."""
    described = TEMPLATE["variables"]["properties"].items()
    given = {name: each["default"] for name, each in described if "default" in each}
    more = {"command": ["prefect", "flow-run", "execute"], "labels": {}, "name": "release"}
    rendered: Any = apply_values(
        TEMPLATE["job_configuration"]["job_manifest"], given | more | variables
    )
    return dict(rendered)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variables", [{}, {"gpus": 1}], ids=["cpu", "cuda"])
def test_the_job_of_a_release_is_what_kubernetes_accepts(
    variables: dict[str, Any], version: str
) -> None:
    """Prefect requires two fields of a Job in the pod, where Kubernetes ignores them."""
    found = job(**variables)
    pod = found["spec"]["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]

    assert {pod.pop("completions"), pod.pop("parallelism")} == {1}
    kubernetes_validate.validate(found, version, strict=True)
    assert limits.get("nvidia.com/gpu") == variables.get("gpus")


def test_the_job_of_a_release_has_few_rights_and_what_the_base_makes() -> None:
    """Its image, settings and secrets are those of the other pods."""
    pod, base = job()["spec"]["template"]["spec"], kustomization(BASE)
    (container,), (image,) = pod["containers"], base["images"]
    named = [each["valueFrom"] for each in container["env"] if "valueFrom" in each]
    secrets = {each["secretKeyRef"]["key"] for each in named if "secretKeyRef" in each}
    settings = {each["configMapKeyRef"]["key"] for each in named if "configMapKeyRef" in each}

    assert_few_rights(container)
    assert pod["securityContext"] == WITH_PODS[0]["spec"]["template"]["spec"]["securityContext"]
    assert container["image"] == f"{image['newName']}:{image['newTag']}"
    assert TEMPLATE["variables"]["properties"]["namespace"]["default"] == base["namespace"]
    assert secrets == {"auth", "hub-token"}
    assert settings <= SETTINGS.keys()


def test_a_worker_of_jobs_has_the_version_of_the_lock_and_hides_the_password() -> None:
    """Without the names of the Secret and its key, each Job would hold it."""
    pod = JOB_WORKER["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {each["name"]: each for each in container["env"]}
    integration = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET"
    lock = (PROJECT / "requirements.txt").read_text(encoding="utf-8")
    version = re.search(r"^prefect==(\S+)", lock, re.MULTILINE)

    assert_few_rights(container)
    assert pod["securityContext"]["runAsNonRoot"]
    assert version
    assert container["image"].startswith(f"docker.io/prefecthq/prefect:{version[1]}-")
    assert variables["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"] == {
        "name": variables[f"{integration}_NAME"]["value"],
        "key": variables[f"{integration}_KEY"]["value"],
    }
