"""The machine's energy counters are read where there are any, and else the reason is named."""

import errno
from pathlib import Path

import pytest

from slipway.evaluation import speed
from slipway.report.document import markdown
from slipway.system import energy
from slipway.tracking.metrics import figures, metrics
from slipway.values import ReleaseSummary, Selection, Speed
from tests.support.measured_values import artifact_of, timed
from tests.support.summaries import promoted

RANGE = 262_143_328_850


def zone(folder: Path, number: str, name: str, microjoules: int) -> Path:
    """Write one zone of Linux's powercap into a folder; return its counter."""
    place = folder / f"intel-rapl:{number}"
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n", encoding="utf-8")
    (place / "max_energy_range_uj").write_text(f"{RANGE}\n", encoding="utf-8")
    counter = place / "energy_uj"
    counter.write_text(f"{microjoules}\n", encoding="utf-8")
    return counter


def test_packages_are_summed_and_a_counter_may_begin_again(tmp_path: Path) -> None:
    """Their parts and the whole computer would count the same joules twice."""
    first = zone(tmp_path, "0", "package-0", RANGE - 1_000_000)
    second = zone(tmp_path, "1", "package-1", 5_000_000)
    core, computer = zone(tmp_path, "0:0", "core", 0), zone(tmp_path, "2", "psys", 0)
    counters = energy.find(tmp_path)
    assert isinstance(counters, energy.EnergyCounters)
    before = counters.read()

    for counter, now in ((first, 2_000_000), (second, 5_500_000), (core, 9), (computer, 9)):
        counter.write_text(str(now), encoding="utf-8")

    assert counters.joules_since(before) == pytest.approx(3.5)


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    """Most virtual machines show none."""
    assert energy.find(tmp_path) == (
        f"{tmp_path} has no energy counters, as on most virtual machines"
    )


def test_without_permission_the_command_that_gives_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since version 5.10, Linux lets root alone read the counters; tests may run as root too."""
    zone(tmp_path, "0", "package-0", 0)

    def refuse(file: Path) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(energy, "_number", refuse)

    found = energy.find(tmp_path)

    assert isinstance(found, str)
    assert found.endswith(f'sudo chown "$USER" {tmp_path}/intel-rapl:*/energy_uj')


def test_the_measurement_of_speed_reads_the_counters(built: Path, tmp_path: Path) -> None:
    """These never change, which no processor does: no figure is better than 0 joules."""
    zone(tmp_path, "0", "package-0", 7)
    artifact = artifact_of(built)

    still = speed.time_once(speed.TimingRequest(artifact=artifact, counters=tmp_path))
    absent = speed.time_once(speed.TimingRequest(artifact=artifact, counters=tmp_path / "none"))

    assert still.decode_joules == "the energy counters stand still"
    assert absent.decode_joules == energy.find(tmp_path / "none")


@pytest.mark.parametrize(
    ("used", "joules", "reason"),
    [((3.2, 64.0, 1.6), 100.0, None), ((), None, "no counters")],
)
def test_the_median_joules_are_those_of_1000_tokens(
    used: tuple[float, ...], joules: float | None, reason: str | None
) -> None:
    """Of 32 tokens after the first, as in each round; one busy round changes nothing."""
    found = speed._speed([timed(decode_joules=each) for each in used or ("no counters",)])

    assert (found.joules_per_1000_tokens, found.energy_unknown) == (joules, reason)


def with_energy(**energy_fields: object) -> ReleaseSummary:
    """Return a summary whose selected candidate's speed has these fields too."""
    healthy = promoted()

    def changed(measured: Speed | None) -> Speed | None:
        return measured and measured.model_copy(update=energy_fields)

    chosen = healthy.selection.chosen
    evaluation = chosen.evaluation.model_copy(update={"speed": changed(chosen.evaluation.speed)})
    scored = chosen.model_copy(update={"evaluation": evaluation})
    others = (each for each in healthy.selection.candidates if each is not chosen)
    selection = Selection(
        candidates=(*others, scored),
        variant=healthy.selection.variant,
        reason=healthy.selection.reason,
    )
    return healthy.model_copy(update={"selection": selection})


def test_report_and_mlflow_have_the_energy() -> None:
    """Each candidate beside its speed; a candidate that was not measured has a dash."""
    summary = with_energy(joules_per_1000_tokens=412.34)
    text = markdown(summary, "p")

    assert "| Speed | Energy | Build |" in text
    assert "tokens/s | 412 J |" in text
    assert "| Energy for 1,000 new tokens | 412 J |  |" in text
    assert metrics(figures(summary))["joules_per_1000_tokens"] == 412.34


def test_a_report_says_why_the_energy_is_unknown() -> None:
    """The table of the candidates has no column for it then."""
    text = markdown(with_energy(energy_unknown="no counters"), "p")

    assert "| Speed | Build |" in text
    assert "| Energy for 1,000 new tokens | not measurable here: no counters |  |" in text
