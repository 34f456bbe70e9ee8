import os
import pwd
from pathlib import Path

import pytest

from lab.layout import Lab, LabError, Record
from lab.platform import DATA_KINDS, EXAMPLE, choose, read_example, templates
from lab.wiring import trusted


def _lab(number: int) -> Lab:
    return Lab(Path("/nowhere"), Record(number=number, mark="m", run=Path("/nowhere/run")))


def test_only_the_examples_addresses_are_translated() -> None:
    text = "10.0.20.10/24 10.0.30.1 110.0.20.1 10.10.0.1 210.0.0.1, version 10.0, 1.10.0.2"
    assert _lab(42).translate(text) == (
        "127.42.20.10/24 127.42.30.1 110.0.20.1 10.10.0.1 210.0.0.1, version 10.0, 1.10.0.2"
    )


def test_services_come_with_all_that_they_depend_on() -> None:
    chosen = {document.key for document in choose(read_example(EXAMPLE), 3)}
    assert {"Service/psa-api-gateway", "Service/psa-crm", "Service/psa-tickets"} <= chosen
    assert "LoadBalancer/edge" in chosen
    by_key = {document.key: document for document in read_example(EXAMPLE)}
    assert all(needed in chosen for key in chosen for needed in by_key[key].depends_on)
    assert "Container/psa-db-replica-1" not in chosen


def test_all_is_all_and_none_is_none() -> None:
    documents = read_example(EXAMPLE)
    assert choose(documents, None, data=True) == documents
    assert choose(documents, 0) == choose(documents, 0, data=True) == ()


def test_what_data_services_hold_is_there_only_where_they_are() -> None:
    documents = read_example(EXAMPLE)
    held = {each.key for each in documents if each.kind in DATA_KINDS}
    assert len(held) == 4
    for services in (None, 1):
        assert not held & {each.key for each in choose(documents, services)}
        assert held < {each.key for each in choose(documents, services, data=True)}


def test_every_object_of_the_example_has_its_template_in_the_lab() -> None:
    volumes = templates(read_example(EXAMPLE))
    assert "local:vztmpl/psa-crm_1.0.0_amd64.tar.zst" in volumes
    assert "local:vztmpl/psa-redis_7_amd64.tar.zst" in volumes
    assert not any("{" in volume for volume in volumes)


def test_a_group_that_may_write_a_parent_is_named_in_the_settings(short_path: Path) -> None:
    (short_path / "shared" / "desired.d").mkdir(parents=True)
    (short_path / "shared").chmod(0o775)
    owners, groups = trusted(short_path / "shared" / "desired.d")
    assert owners == []
    assert groups


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_without_a_name_is_refused(short_path: Path) -> None:
    (short_path / "strange" / "desired.d").mkdir(parents=True)
    os.chown(short_path / "strange", 3_999_999, -1)
    with pytest.raises(LabError, match="choose another --dir"):
        trusted(short_path / "strange" / "desired.d")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_owner_of_the_place_is_named_in_the_settings(short_path: Path) -> None:
    (short_path / "home" / "desired.d").mkdir(parents=True)
    os.chown(short_path / "home", pwd.getpwnam("nobody").pw_uid, -1)
    assert trusted(short_path / "home" / "desired.d")[0] == ["nobody"]
