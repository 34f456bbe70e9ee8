"""The example's Redis has every figure of the platform's design (chapter 2), and nothing else."""

from pathlib import Path

import yaml

from crds.redis import RedisInstanceSpec, RedisRole
from reconcilers.redis.configuration import wanted_settings
from reconcilers.redis.normal import normal

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/psa-platform/data-services/psa-redis.yaml"
#: As the design writes them, in bytes and seconds.
DESIGN = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "300 10 60 10000 900 1",
    "maxmemory": str(4 * 1024**3),
    "maxmemory-policy": "allkeys-lru",
    "timeout": "300",
    "tcp-keepalive": "300",
}


def the_spec() -> RedisInstanceSpec:
    return RedisInstanceSpec.model_validate(yaml.safe_load(EXAMPLE.read_text())["spec"])


def test_every_setting_of_the_design_is_asked_for_and_no_other() -> None:
    asked = {name: normal(name, value) for name, value in wanted_settings(the_spec()).items()}

    assert asked == {name: normal(name, value) for name, value in DESIGN.items()}


def test_the_password_and_the_disabled_commands_of_the_design_are_asked_for() -> None:
    spec = the_spec()

    assert spec.password is not None
    assert set(spec.disabled_commands) == {"FLUSHDB", "FLUSHALL", "CONFIG"}
    assert (spec.minimum_version, spec.replication.role) == ("7.0", RedisRole.PRIMARY)


def test_it_says_why_config_is_renamed_and_not_disabled() -> None:
    text = EXAMPLE.read_text()

    assert "configCommandFile" in text
    assert 'rename-command CONFIG ""' in text
