"""The family of alerts: every result is there from the beginning, and no label of an alert is in it."""

from prometheus_client import CollectorRegistry

from daemon.web.alert_decision import Result
from metrics.alerts import RESULTS, AlertMetrics


def test_every_result_has_its_series_from_the_beginning() -> None:
    registry = CollectorRegistry()
    AlertMetrics(registry)
    for result in RESULTS:
        assert registry.get_sample_value("psa_alerts_total", {"result": result}) == 0
    assert {each.value for each in Result} | {"unauthorized", "malformed", "dropped"} == set(RESULTS)


def test_alerts_are_counted() -> None:
    registry = CollectorRegistry()
    metrics = AlertMetrics(registry)
    metrics.count("acted")
    metrics.count("dropped", 7)
    found = {result: registry.get_sample_value("psa_alerts_total", {"result": result}) for result in RESULTS}
    assert (found["acted"], found["dropped"], found["late"]) == (1, 7, 0)
