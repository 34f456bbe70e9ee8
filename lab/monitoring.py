"""The lab's own Prometheus and Alertmanager: configured for this lab, started where their programs are."""

import http.client
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from lab.layout import Lab, LabError
from lab.wiring import alerts_url, daemon_address, write_alert_token

#: Part and program of each.
PROGRAMS: Final[Mapping[str, str]] = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
PACKAGES: Final = "prometheus prometheus-alertmanager"
_ROOT: Final = Path(__file__).parents[1]
_RULES: Final = _ROOT / "metrics" / "rules"
_ROUTES: Final = _ROOT / "metrics" / "alertmanager" / "alertmanager.yaml"
DASHBOARDS: Final = _ROOT / "metrics" / "dashboards"
_READY_S: Final = 20.0
_TIMEOUT_S: Final = 2.0


def is_installed() -> bool:
    """Whether both programs are on this machine."""
    return all(shutil.which(program) for program in PROGRAMS.values())


def is_wanted(asked: bool | None, say: Callable[[str], None]) -> bool:  # noqa: FBT001 - a flag of the command line
    """Return whether to start them; without a wish where they are. LabError if they are asked for in vain."""
    if asked is False or is_installed():
        return asked is not False
    missing = f"Prometheus and Alertmanager are not installed: apt-get install {PACKAGES}"
    if asked:
        raise LabError(missing)
    say(f"without metrics: {missing}, or `make lab`")
    return False


def monitoring_urls(lab: Lab) -> Mapping[str, str]:
    """Return where each is found by a browser; none in a lab without them."""
    return {name: f"http://{_address(lab, name)}/" for name in PROGRAMS} if lab.record.metrics else {}


def start_monitoring(lab: Lab, *, keep_open: tuple[int, ...] = ()) -> None:
    """Write both configurations, start both, and wait until they answer."""
    for name in PROGRAMS:
        start_monitor(lab, name, keep_open=keep_open)
    for name in PROGRAMS:
        wait_for_monitor(lab, name)


def start_monitor(lab: Lab, name: str, *, keep_open: tuple[int, ...] = ()) -> None:
    """Start prometheus or alertmanager."""
    folder = lab.root / name
    folder.mkdir(exist_ok=True)
    config = folder / f"{name}.yaml"
    made = prometheus_config(lab) if name == "prometheus" else alertmanager_config(lab)
    config.write_text("# Written by the lab.\n" + yaml.safe_dump(made, sort_keys=False))
    lab.parts.start(name, _command(lab, name, config), keep_open=keep_open)


def wait_for_monitor(lab: Lab, name: str) -> None:
    """Wait until prometheus or alertmanager answers."""
    lab.parts.wait_until(name, lambda: _is_ready(_address(lab, name)), _READY_S)


def prometheus_config(lab: Lab) -> Mapping[str, object]:
    """Return Prometheus's configuration: the daemon each second, the shipped rules, our Alertmanager."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(_RULES / "psa-*.yaml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [_address(lab, "alertmanager")]}]}]},
        "scrape_configs": [
            {"job_name": "psa-reconciler", "static_configs": [{"targets": [daemon_address(lab)]}]}
        ],
    }


def alertmanager_config(lab: Lab) -> Mapping[str, object]:
    """Return the shipped routes, with this lab's daemon and its token file."""
    shipped: dict[str, Any] = yaml.safe_load(_ROUTES.read_text())
    write_alert_token(lab)
    for receiver in shipped["receivers"]:
        for webhook in receiver.get("webhook_configs", ()):
            webhook["url"] = alerts_url(lab)
            webhook["http_config"]["authorization"]["credentials_file"] = str(lab.alert_token)
    return shipped


def _address(lab: Lab, name: str) -> str:
    return f"{lab.address('0.1')}:{9090 if name == 'prometheus' else 9093}"


def _command(lab: Lab, name: str, config: Path) -> Sequence[str]:
    address = _address(lab, name)
    program = shutil.which(PROGRAMS[name])
    if program is None:
        raise LabError(f"{PROGRAMS[name]} is not installed: apt-get install {PACKAGES}")
    common = [program, f"--config.file={config}", f"--web.listen-address={address}", "--log.level=warn"]
    data = config.with_name("data")
    common.append(f"--web.external-url=http://{address}/")
    if name == "prometheus":
        return [*common, f"--storage.tsdb.path={data}", "--storage.tsdb.retention.time=1d"]
    # Without an empty cluster address it opens a port on all addresses.
    return [*common, f"--storage.path={data}", "--cluster.listen-address="]


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
