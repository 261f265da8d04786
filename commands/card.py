"""``slipway card``: the model card of a version, from the runs of its release."""

from commands import console
from commands.options import OutputFile, VersionNumber, chosen_version
from slipway import catalogue
from slipway.errors import SourceMissing
from slipway.report.card import CardFacts, markdown
from slipway.settings import Settings
from slipway.system import disk
from slipway.tracking import read_run, write_run
from slipway.tracking.location import mlflow_location


def card(
    model: str,
    version: VersionNumber | None = None,
    *,
    output: OutputFile | None = None,
    annex_iv: bool = False,
) -> int:
    """Write the model card of a version, in the format of the Hub, from its MLflow runs.

    Every figure is a link to the run that measured it. What only a person can say is marked
    `[More Information Needed]`.

    Args:
        model: Name of an entry in catalogue.toml.
        version: Version to describe. Default: the champion.
        output: File to write, such as README.md. Default: standard output.
        annex_iv: Add the headings of Annex IV of the EU AI Act.
    """
    text = markdown(_facts(model, version, Settings()), annex_iv=annex_iv)
    if output:
        with disk.writing(output.absolute().parent):
            output.write_text(text, encoding="utf-8")
    else:
        console.write(text)
    return 0


def _facts(model: str, version: int | None, settings: Settings) -> CardFacts:
    entry = catalogue.find(settings.catalogue, model)
    number, where = chosen_version(model, version, settings), mlflow_location(settings)
    run_id = read_run.run_of(model, number, where)
    record = read_run.release(run_id, f"version {number}", where)
    if record.manifest is None:
        advice = "an earlier version made this release; release the model again with --force"
        raise SourceMissing(f"manifest.json of MLflow run {run_id}", advice)
    from slipway.registry import open_registry

    candidates, history = read_run.candidates(run_id, where), open_registry(settings).history(model)
    runs = [run_id, *(each.run_id for each in candidates), *(each.run_id for each in history)]
    return CardFacts(
        model=model,
        version=number,
        title=entry.title,
        record=record,
        manifest=record.manifest,
        candidates=candidates,
        pages={run: write_run.page(settings.mlflow_pages, run, where) for run in runs if run},
        history=history,
        server=settings.serving_url,
    )
