"""One page of metrics from those of several servers."""

from prometheus_client.parser import text_string_to_metric_families

from slipway.serving.merged_metrics import merged

ONE = """\
# HELP requests_total Responses
# TYPE requests_total counter
requests_total{model="one",status="200"} 3.0
# HELP key_requests_total Responses by key
# TYPE key_requests_total counter
key_requests_total{key="ann"} 2.0
# HELP seconds Times
# TYPE seconds histogram
seconds_bucket{le="1.0",model="one"} 1.0
seconds_bucket{le="+Inf",model="one"} 2.0
seconds_count{model="one"} 2.0
seconds_sum{model="one"} 2.5
"""


def test_a_single_page_stays_as_it_is() -> None:
    """Names, kinds, descriptions and labels."""
    assert sorted(merged([ONE]).decode().splitlines()) == sorted(ONE.splitlines())


def test_series_of_several_pages_are_beside_each_other_and_equal_ones_are_added() -> None:
    """Prometheus refuses a page with a metric or a series twice."""
    page = merged([ONE, ONE.replace('"one"', '"two"')]).decode()
    samples = [
        sample for family in text_string_to_metric_families(page) for sample in family.samples
    ]
    found = {(each.name, *sorted(each.labels.values())): each.value for each in samples}

    assert page.count("# TYPE requests_total counter") == 1
    assert len(samples) == len(found)
    assert found["requests_total", "200", "one"] == found["requests_total", "200", "two"] == 3
    assert found["key_requests_total", "ann"] == 4
    assert found["seconds_bucket", "1.0", "two"] == 1
