from pathlib import Path

import pytest
import yaml

from lab.layout import LabError
from lab.overlay import lay_over, read_overlay
from lab.platform import EXAMPLE, read_example

TEXT = """\
# A cluster.
kind: PostgresCluster
metadata: {name: psa-db}
spec:
  settings:
    shared_buffers: 4GB   # a quarter of it
    work_mem: 20MB
  minimumVersion: "15"
  members: [{name: a, size: 3}]
---
kind: RedisInstance
metadata: {name: psa-db}
spec: {minimumVersion: "7"}
"""


def test_only_the_named_value_is_another_one_and_comments_stay() -> None:
    overlay = {"PostgresCluster/psa-db": {("settings", "shared_buffers"): "16MB", ("minimumVersion",): "14"}}
    assert lay_over(TEXT, overlay) == TEXT.replace("4GB ", '"16MB" ').replace('"15"', '"14"')


def test_a_place_in_a_list_is_a_number() -> None:
    assert "size: 5}" in lay_over(TEXT, {"PostgresCluster/psa-db": {("members", "0", "size"): 5}})


@pytest.mark.parametrize("path", [("settings",), ("settings", "wal_level"), ("minimumVersion", "major")])
def test_a_value_that_is_not_there_is_an_error(path: tuple[str, ...]) -> None:
    with pytest.raises(LabError, match=rf"PostgresCluster/psa-db has no value at {'.'.join(path)}"):
        lay_over(TEXT, {"PostgresCluster/psa-db": {path: 1}})


def test_the_file_is_read_by_object_and_path(tmp_path: Path) -> None:
    (tmp_path / "overlay.yaml").write_text("RabbitMQ/psa-rabbitmq:\n  a: {b: 1, c: x}\n  d: '3.10'\n")
    assert read_overlay(tmp_path / "overlay.yaml") == {
        "RabbitMQ/psa-rabbitmq": {("a", "b"): 1, ("a", "c"): "x", ("d",): "3.10"}
    }


def test_every_object_of_the_lab_s_overlay_is_in_the_example_and_stays_valid_yaml() -> None:
    documents = {each.key: each for each in read_example(EXAMPLE)}
    overlay = read_overlay()
    assert overlay.keys() <= documents.keys()
    for key in overlay:
        text = (EXAMPLE / documents[key].file).read_text()
        assert [*yaml.safe_load_all(lay_over(text, overlay))]
