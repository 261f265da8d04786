"""One page of metrics from those of several servers."""

from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST


def merged(pages: Iterable[str]) -> bytes:
    """Return one page in Prometheus's text format.

    Equal series, such as the requests of a key, are added up: a page may have each of them once.

    Args:
        pages: In the same format.
    """
    registry = CollectorRegistry()
    registry.register(_Families(pages))
    return generate_latest(registry)


class _Families(Collector):
    """The metrics of all pages, each once."""

    def __init__(self, pages: Iterable[str]) -> None:
        self._found: dict[str, Metric] = {}
        for page in pages:
            for family in text_string_to_metric_families(page):
                own = Metric(family.name, family.documentation, family.type)
                self._found.setdefault(family.name, own).samples += family.samples

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with the sums of its series."""
        for family in self._found.values():
            sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
            for sample in family.samples:
                series = sample.name, tuple(sorted(sample.labels.items()))
                sums[series] = sums.get(series, 0.0) + sample.value
            whole = Metric(family.name, family.documentation, family.type)
            for (name, labels), value in sums.items():
                whole.add_sample(name, dict(labels), value)
            yield whole
