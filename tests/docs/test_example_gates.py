"""The gates of the example's release: written as a comment, they are checked as if they were none."""

import shutil
from pathlib import Path

import yaml

from crds.rabbitmq import RabbitMQSpec
from crds.release import ReleaseSpec
from daemon.sources.check import check_paths

EXAMPLE = Path(__file__).parents[2] / "examples/psa-platform"


def with_gates() -> str:
    """Return the file of the release with its commented gates in force."""
    before, marker, block = (EXAMPLE / "release.yaml").read_text().partition("  # gates:\n")
    assert marker, "the example's release has no gates to take the # away from"
    return before + "  gates:\n" + "".join(f"{line.replace('# ', '', 1)}\n" for line in block.splitlines())


def test_with_the_hash_taken_away_the_example_is_valid(tmp_path: Path) -> None:
    folder = tmp_path / "psa-platform"
    shutil.copytree(EXAMPLE, folder)
    (folder / "release.yaml").write_text(with_gates())
    assert [str(each) for each in check_paths([folder]).problems] == []


def test_they_are_about_the_databases_and_all_queues_that_the_example_declares() -> None:
    gates = ReleaseSpec.model_validate(yaml.safe_load(with_gates())["spec"]).gates
    assert gates.replication_lag is not None
    assert gates.database_errors is not None
    assert gates.queue_depth is not None
    broker = yaml.safe_load((EXAMPLE / "data-services/psa-rabbitmq.yaml").read_text())
    spec = RabbitMQSpec.model_validate(broker["spec"])
    declared = {f"{vhost}/{queue}" for vhost, wish in spec.vhosts.items() for queue in wish.queues}
    assert set(gates.queue_depth.queues) == declared
    assert {str(gate.key) for _, gate in gates.asked()} == {"PostgresCluster/psa-db", "RabbitMQ/psa-rabbitmq"}
