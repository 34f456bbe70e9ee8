"""Files of releases: a service belongs to one of them, and each has something to watch."""

from crds.meta import Key
from daemon.sources.assembly import assemble
from daemon.sources.snapshot import Snapshot
from tests.builders_source import content_of


def release_yaml(name: str, *services: str) -> str:
    return (
        "apiVersion: psa.platform/v1\n"
        "kind: Release\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n"
        "  version: 1.2.3\n"
        f"  services: [{', '.join(services)}]\n"
    )


def snapshot(**files: str) -> Snapshot:
    return assemble([content_of(text, f"{name}.yaml") for name, text in files.items()], "digest")


def test_two_releases_of_one_service_are_both_refused_and_told_of_each_other() -> None:
    found = snapshot(
        one=release_yaml("psa-suite", "psa-api-gateway", "psa-crm"), two=release_yaml("psa-crm", "psa-crm")
    )
    assert found.objects == ()
    assert set(found.refused) == {Key("Release", "psa-suite"), Key("Release", "psa-crm")}
    text = "\n".join(problem.rendered for problem in found.problems)
    assert "the version of psa-crm is claimed more than once" in text
    assert "it belongs to Release/psa-suite (one.yaml:6), too" in text


def test_releases_of_different_services_stand_beside_each_other() -> None:
    found = snapshot(one=release_yaml("psa-suite", "psa-api-gateway"), two=release_yaml("psa-crm", "psa-crm"))
    assert {each.key.name for each in found.objects} == {"psa-suite", "psa-crm"}
    assert found.problems == ()


def test_a_service_stands_in_a_release_once() -> None:
    found = snapshot(one=release_yaml("psa-suite", "psa-crm", "psa-crm"))
    assert found.objects == ()
    assert "psa-crm stands here twice" in found.problems[0].rendered


def test_without_a_step_users_would_have_nothing_to_say() -> None:
    found = snapshot(one=release_yaml("psa-suite", "psa-crm") + "  split: []\n")
    assert found.objects == ()
    assert "split" in found.problems[0].rendered
