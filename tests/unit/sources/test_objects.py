"""Files to objects: what is declared, what is refused, and what a broken file takes with it."""

import pytest

from crds.container import ContainerSpec
from crds.meta import Key, Origin
from daemon.sources.assembly import assemble, refused_content
from daemon.sources.listing import RefusedFile
from daemon.sources.snapshot import Snapshot
from tests.builders_source import container_yaml, content_of

REDIS = Key("Container", "psa-redis")
CRM = Key("Container", "psa-crm")


def snapshot(**files: str) -> Snapshot:
    """Return what these files declare together; the keyword is the file's name without .yaml."""
    return assemble([content_of(text, f"{name}.yaml") for name, text in files.items()], "digest")


def declared(found: Snapshot) -> set[Key]:
    return {declared.key for declared in found.objects}


def test_an_object_knows_its_file_and_the_line_of_each_field() -> None:
    text = (
        "# a comment\n" + container_yaml(memory="4Gi", tags="[a]") + "---\n" + container_yaml("psa-crm", 101)
    )
    redis, crm = snapshot(web=text).objects
    assert (redis.key, redis.origin) == (REDIS, Origin("web.yaml", 2))
    assert (crm.key, crm.origin) == (CRM, Origin("web.yaml", 13))
    assert isinstance(redis.spec, ContainerSpec)
    assert redis.spec.memory == 4096
    assert redis.lines["spec.memory"] == 10
    assert redis.lines["spec.tags.0"] == 11
    assert redis.lines["metadata.name"] == 4
    assert redis.lines["spec"] == 5


def test_labels_and_annotations_are_taken_as_they_are() -> None:
    text = container_yaml().replace(
        "{name: psa-redis}", "{name: psa-redis, labels: {a/b: on}, annotations: {n: '1'}}"
    )
    (found,) = snapshot(web=text).objects
    assert (found.labels, found.annotations) == ({"a/b": "on"}, {"n": "1"})


def test_an_invalid_object_is_refused_and_the_others_of_its_file_are_not() -> None:
    found = snapshot(web=container_yaml(cores=0) + "---\n" + container_yaml("psa-crm", 101))
    assert declared(found) == {CRM}
    assert set(found.refused) == {REDIS}
    assert found.broken_files == frozenset()


def test_all_mistakes_of_an_object_are_in_the_text_that_refuses_it() -> None:
    found = snapshot(web=container_yaml(cores=0, memory=1, memroy="1Gi"))
    assert len(found.problems) == 3
    assert found.refused[REDIS].rendered == "\n".join(problem.rendered for problem in found.problems)
    assert found.refused[REDIS].message.endswith("(and 2 more)")


def test_a_syntax_error_breaks_the_file_and_refuses_the_objects_before_it() -> None:
    found = snapshot(web=container_yaml() + "---\nkind: [\n", other=container_yaml("psa-crm", 101))
    assert declared(found) == {CRM}
    assert found.broken_files == {"web.yaml"}
    assert found.refused[REDIS].line == 11


def test_a_duplicate_key_does_not_hide_the_other_mistakes_of_the_file() -> None:
    found = snapshot(web=container_yaml(cores=0, node="pve2") + "---\n" + container_yaml("psa-crm", 101))
    assert [problem.line for problem in found.problems] == [9, 10]
    assert declared(found) == set()
    assert set(found.refused) == {REDIS, CRM}


def test_a_document_without_a_usable_name_breaks_its_file_only_for_what_is_missing() -> None:
    found = snapshot(web=container_yaml("Bad_Name") + "---\n" + container_yaml("psa-crm", 101))
    assert declared(found) == {CRM}
    assert found.broken_files == {"web.yaml"}


def test_an_object_with_more_mistakes_than_are_told_is_refused_all_the_same() -> None:
    many = container_yaml() + "".join(f"  wrong{n}: 1\n" for n in range(60))
    found = snapshot(web=many + "---\n" + container_yaml("psa-crm", 101, cores=0))
    assert set(found.refused) == {REDIS, CRM}


def test_a_refused_file_is_broken_and_says_why() -> None:
    found = assemble([refused_content(RefusedFile("web.yaml", "it is too large", ("split it",)))], "")
    assert found.broken_files == {"web.yaml"}
    assert found.problems[0].rendered == "web.yaml: error: it is too large\n    = split it"


def test_python_spelling_of_a_field_is_not_accepted_in_a_file() -> None:
    assert declared(snapshot(web=container_yaml(onBoot="true"))) == {REDIS}
    assert declared(snapshot(web=container_yaml(on_boot="true"))) == set()


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "1", "'true'"])
def test_only_true_and_false_are_truth_values(word: str) -> None:
    assert declared(snapshot(web=container_yaml(adopt=word))) == set()


def test_two_files_with_one_object_are_both_refused_and_name_each_other() -> None:
    found = snapshot(one=container_yaml(), two=container_yaml(), three=container_yaml("psa-crm", 101))
    assert declared(found) == {CRM}
    assert [(problem.file, problem.key) for problem in found.problems] == [
        ("one.yaml", REDIS),
        ("two.yaml", REDIS),
    ]
    assert found.problems[0].rendered == (
        "one.yaml:3:18: error: Container/psa-redis is declared more than once\n"
        "  3 | metadata: {name: psa-redis}\n"
        "    |                  ^^^^^^^^^\n"
        "    = it is declared in two.yaml:3, too: leave one of them"
    )


def test_one_object_twice_in_one_file_is_refused() -> None:
    found = snapshot(web=container_yaml() + "---\n" + container_yaml())
    assert declared(found) == set()
    assert "web.yaml:12" in found.problems[0].message


def test_a_duplicate_counts_even_when_one_of_the_two_is_invalid() -> None:
    found = snapshot(one=container_yaml(), two=container_yaml(cores=0))
    assert declared(found) == set()
    assert set(found.refused) == {REDIS}


def test_two_objects_with_one_container_id_are_both_refused() -> None:
    found = snapshot(
        one=container_yaml(), two=container_yaml("psa-crm"), three=container_yaml("psa-auth", 110)
    )
    assert declared(found) == {Key("Container", "psa-auth")}
    assert set(found.refused) == {REDIS, CRM}
    assert found.problems[1].rendered == (
        "two.yaml:6:9: error: CT 210 on pve is claimed more than once\n"
        "  6 |   ctid: 210\n"
        "    |         ^^^\n"
        "    = it belongs to Container/psa-redis (one.yaml:6), too: a real thing has one\n"
        "      owner"
    )


def test_one_container_id_on_two_clusters_is_no_conflict() -> None:
    other = container_yaml("psa-crm").replace("endpoint: pve", "endpoint: pve-b")
    assert declared(snapshot(one=container_yaml(), two=other)) == {REDIS, CRM}


SERVICE = """\
apiVersion: psa.platform/v1
kind: Service
metadata: {name: gateway}
spec:
  container:
    endpoint: pve
    template: local:vztmpl/gateway_{version}.tar.zst
    network: {bridge: vmbr1}
  colors:
    blue: {ctid: 300, node: pve1, address: 10.0.20.10/24, port: 3000}
    green: {ctid: 300, node: pve2, address: 10.0.20.11/24, port: 3001}
"""


def test_one_object_that_claims_a_thing_twice_is_refused() -> None:
    found = snapshot(web=SERVICE)
    assert declared(found) == set()
    assert [(problem.line, problem.column) for problem in found.problems] == [(10, 18), (11, 19)]
    assert declared(snapshot(web=SERVICE.replace("300, node: pve2", "301, node: pve2"))) == {
        Key("Service", "gateway")
    }


def test_a_service_and_a_container_cannot_share_an_address() -> None:
    service = SERVICE.replace("300, node: pve2", "301, node: pve2")
    found = snapshot(web=service, redis=container_yaml(network="{bridge: vmbr1, address: 10.0.20.11/16}"))
    assert declared(found) == set()


def test_a_thousand_files_with_one_object_make_short_messages() -> None:
    found = assemble([content_of(container_yaml(), f"{n}.yaml") for n in range(300)], "")
    assert len(found.problems) == 300
    assert all(len(problem.message) < 250 for problem in found.problems)
    assert declared(found) == set()
