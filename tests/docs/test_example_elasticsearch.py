"""The example's Elasticsearch has every thing that the platform's design names."""

import fnmatch
from datetime import date
from pathlib import Path

import yaml

from crds.elasticsearch import ElasticsearchSpec

EXAMPLE = Path(__file__).parents[2] / "examples/psa-platform/data-services/psa-elasticsearch.yaml"


def the_spec() -> ElasticsearchSpec:
    return ElasticsearchSpec.model_validate(yaml.safe_load(EXAMPLE.read_text())["spec"])


def test_the_cluster_and_its_version_are_verified() -> None:
    assert (the_spec().cluster_name, the_spec().minimum_version) == ("psa-platform", "8.0")


def test_the_daily_log_indices_have_their_template_and_their_policy() -> None:
    spec = the_spec()
    template = spec.index_templates["psa-logs"]

    today = f"psa-logs-{date(2026, 11, 25):%Y.%m.%d}"
    assert any(fnmatch.fnmatchcase(today, pattern) for pattern in template.patterns)
    assert template.settings["lifecycle.name"] in spec.lifecycle_policies
    assert set(template.composed_of) <= set(spec.component_templates)


def test_an_alert_can_be_found_by_its_tag() -> None:
    fields = the_spec().component_templates["psa-log-fields"].mappings["properties"]
    assert isinstance(fields, dict)
    assert fields["tags"] == {"type": "keyword"}


def test_nothing_of_it_may_destroy_anything() -> None:
    assert the_spec().allow == ()
