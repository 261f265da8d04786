"""A recipe that searches is released like any other, with what it found as the candidates."""

from pathlib import Path

import pytest

from tests.support.project import Project

pytestmark = pytest.mark.slow


def test_what_a_search_found_is_released(project: Project) -> None:
    """The report compares every artifact that was built; the smallest that passes is promoted."""
    from flows.release_model import release_model

    listed = 'kind = "quantize", candidates = [{ precision = "fp32" }]'
    project.edit(listed, 'kind = "search", max_kl = 10, max_builds = 2')
    for gate in ("kl_long", "top1_agreement", "perplexity_ratio", "size_bytes"):
        project.limit(f"{gate} = {{}}")

    outcome = release_model("tiny")

    client = project.registry().client
    report = client.download_artifacts(outcome.versions.run_id, "report.md")
    text = Path(report).read_text(encoding="utf-8")
    assert "cpu-int8-rtn-block-32" in text
    assert "cpu-int4-rtn-block-32-asymmetric" in text
    assert outcome.verdict.kind == "promoted"
