"""Renders the model card of a released version, in the format of the Hub, from its MLflow runs.

Every figure is a link to the run that measured it. What no run can know is marked for a person.
"""

from functools import cache, partial
from urllib.parse import urlsplit

from jinja2 import Template

from slipway.evaluation import units
from slipway.report import next_steps
from slipway.report.markdown import Markdown, environment, escape, url
from slipway.sources.model_card import CardMetadata, CardResult, with_metadata
from slipway.values import ChampionPeriod, Manifest, Metric, ReleaseRecord, Value, short

#: The Hub's own words for what is missing in a card.
MISSING = "[More Information Needed]"

#: Figures that become results in the metadata: comparisons with the source, on any machine alike.
_RESULTS: tuple[Metric, ...] = ("kl_mean", "top1_agreement", "perplexity_ratio")

#: Columns of the table of candidates.
_COLUMNS: tuple[Metric, ...] = ("size_bytes", *_RESULTS, "decode_tokens_per_second")


class CardFacts(Value):
    """What a card says.

    Attributes:
        title: Name of the model for people.
        record: The run of the release.
        candidates: The runs of its candidates.
        pages: Address of the page of each run that is named, by the run's id.
        history: Who was champion when.
        server: Address of the model server in the example.
    """

    model: str
    version: int
    title: str
    record: ReleaseRecord
    manifest: Manifest
    candidates: tuple[ReleaseRecord, ...]
    pages: dict[str, str]
    history: tuple[ChampionPeriod, ...]
    server: str

    @property
    def port(self) -> int | None:
        """The port that the server's address names."""
        return urlsplit(self.server).port


def markdown(facts: CardFacts, *, annex_iv: bool = False) -> str:
    """Return a card with its metadata.

    Args:
        facts: What it says.
        annex_iv: Whether it has the headings of Annex IV of Regulation (EU) 2024/1689: the
            technical documentation of a high-risk AI system.
    """
    text = _template().render(
        facts=facts,
        record=facts.record,
        manifest=facts.manifest,
        annex_iv=annex_iv,
        columns=_COLUMNS,
        linked=partial(_linked, facts.pages),
        missing=Markdown(f"**{MISSING}**"),
        question=next_steps.QUESTION,
    )
    return with_metadata(text, _metadata(facts))


def _linked(pages: dict[str, str], text: object, run_id: str) -> Markdown:
    """Return a text as a link to the page of a run; no bracket in it ends the link's text."""
    shown = escape(text).replace("]", r"\]")
    return Markdown(f"[{shown}]({url(pages[run_id])})")


def _metadata(facts: CardFacts) -> CardMetadata:
    record, figures = facts.record, facts.record.figures
    return CardMetadata(
        model=facts.model,
        base_model=facts.manifest.repo,
        license=facts.manifest.license,
        results=tuple(
            CardResult(
                metric=metric,
                title=units.title(metric),
                value=figures[metric].value,
                run_id=record.run_id,
                page=facts.pages[record.run_id],
            )
            for metric in _RESULTS
            if metric in figures
        ),
    )


@cache
def _template() -> Template:
    made = environment()
    made.globals |= {"figure": units.figure, "brief": units.brief, "title": units.title}
    made.filters |= {"short": short}
    return made.get_template("card.md.jinja")
