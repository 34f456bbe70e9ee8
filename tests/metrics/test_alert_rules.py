"""The shipped rules: understood by Prometheus, each alert tested, each with a runbook that exists."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "metrics/rules"
FILES = sorted(RULES.glob("psa-*.yaml"))
TESTS = sorted(RULES.glob("*.test.yaml"))
ROUTES = ROOT / "metrics/alertmanager/alertmanager.yaml"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


ALERTS = [
    cast("dict[str, Any]", rule)
    for path in FILES
    for group in read(path)["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
IDS = [rule["alert"] for rule in ALERTS]


def ran(*argv: str, cwd: Path = RULES) -> str:
    program = shutil.which(argv[0])
    assert program is not None, f"{argv[0]} is missing: tools/setup prometheus=promtool installs it"
    done = subprocess.run([program, *argv[1:]], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_understands_every_rule() -> None:
    ran("promtool", "check", "rules", *map(str, FILES))


def test_every_alert_fires_and_keeps_quiet_as_its_test_says() -> None:
    ran("promtool", "test", "rules", *map(str, TESTS))


@pytest.mark.parametrize("rule", ALERTS, ids=IDS)
def test_an_alert_has_severity_summary_test_and_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]
    page = (ROOT / rule["annotations"]["runbook"]).read_text()
    assert page.startswith(f"# {rule['alert']}\n")
    checks = [
        check
        for path in TESTS
        for test in read(path)["tests"]
        for check in test["alert_rule_test"]
        if check["alertname"] == rule["alert"]
    ]
    assert any(check["exp_alerts"] for check in checks), "no test sees it fire"
    assert any(not check["exp_alerts"] for check in checks), "no test sees it keep quiet"


def test_only_the_alert_of_a_releases_errors_rolls_back() -> None:
    assert [rule["alert"] for rule in ALERTS if "psa_action" in rule["labels"]] == ["PsaReleaseErrors"]


def test_the_rules_ask_only_for_what_exists() -> None:
    recorded = {
        rule["record"] for path in FILES for group in read(path)["groups"] for rule in group["rules"]
        if "record" in rule
    }  # fmt: skip
    asked = set(re.findall(r"psa:[a-z0-9_:]+", "".join(path.read_text() for path in FILES)))
    assert asked == recorded


def test_alertmanager_understands_the_routes() -> None:
    ran("amtool", "check-config", str(ROUTES))


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["alertname=PsaReleaseErrors", "psa_action=rollback", "severity=critical"], "psa-reconciler,people"),
        (["alertname=PsaReleaseHeld", "severity=critical"], "people"),
        (["alertname=PsaReleaseQuarantined", "severity=info"], "people"),
        (["alertname=PsaPostgresSplitBrain", "severity=critical", "cluster=psa-db"], "people"),
        (["alertname=PsaQueueGrowing", "severity=warning", "broker=psa-rabbitmq"], "people"),
        (["alertname=PsaWebhooksRefused", "severity=warning", "result=unauthorized"], "people"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_an_alert_goes_where_it_should(labels: list[str], receivers: str) -> None:
    found = ran("amtool", "config", "routes", "test", "--config.file", str(ROUTES), *labels)
    assert found.strip() == receivers


def test_every_runbook_belongs_to_an_alert() -> None:
    pages = {path.name for path in (ROOT / "docs/runbooks").glob("*.md")} - {"README.md"}
    assert pages == {Path(rule["annotations"]["runbook"]).name for rule in ALERTS}
