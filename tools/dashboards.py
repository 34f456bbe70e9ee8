"""Writes metrics/dashboards from metrics/panels.py. `--check` only compares."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from metrics.dashboard import Dashboard, Panel
from metrics.panels import DASHBOARDS

TARGET: Final = Path(__file__).parents[1] / "metrics/dashboards"
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHT: Final = 8
_COLUMNS: Final = 24


def grafana(dashboard: Dashboard) -> Mapping[str, object]:
    """Return a dashboard as Grafana (10 and later) takes it."""
    variables: list[object] = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    ]
    if dashboard.variable is not None:
        name, query = dashboard.variable
        variables.append({
            "name": name, "type": "query", "datasource": _SOURCE, "query": query,
            "refresh": 2, "includeAll": True, "multi": True, "current": {"text": "All", "value": "$__all"},
        })  # fmt: skip
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.says,
        "tags": ["psa-reconciler"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": variables},
        "annotations": {"list": [_phases()]},
        "panels": list(_placed(dashboard.panels)),
    }


def _phases() -> Mapping[str, object]:
    """Mark where a release came into another phase."""
    return {
        "name": "Release phases",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "purple",
        "expr": "psa_release_phase == 1 unless psa_release_phase offset 15s == 1",
        "titleFormat": "{{release}}: {{phase}}",
    }


def _placed(panels: tuple[Panel, ...]) -> Iterator[Mapping[str, object]]:
    """Lay panels out in rows, left to right."""
    x = y = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        yield {
            "id": number,
            "type": panel.shape,
            "title": panel.title,
            "description": panel.says,
            "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": [*_dashed(panel)]},
            "targets": [
                {
                    "refId": chr(ord("A") + at),
                    "datasource": _SOURCE,
                    "expr": query.expr,
                    "legendFormat": query.legend,
                    "instant": panel.shape in {"stat", "table"},
                }
                for at, query in enumerate(panel.queries)
            ],
        }
        x += panel.width


def _dashed(panel: Panel) -> Iterator[Mapping[str, object]]:
    """Draw limits as such."""
    for at, query in enumerate(panel.queries):
        if query.is_limit:
            yield {
                "matcher": {"id": "byFrameRefID", "options": chr(ord("A") + at)},
                "properties": [
                    {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}},
                    {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}},
                ],
            }


PROVISIONING: Final = """\
# For Grafana's provisioning: /etc/grafana/provisioning/dashboards/psa-reconciler.yaml
apiVersion: 1
providers:
  - name: psa-reconciler
    folder: PSA
    type: file
    options: {path: /opt/psa-reconciler/dashboards}
"""


def files() -> Mapping[str, str]:
    """Return all files by name."""
    made = {f"{each.uid}.json": json.dumps(grafana(each), indent=2) + "\n" for each in DASHBOARDS}
    return {**made, "provisioning.yaml": PROVISIONING}


def main() -> None:
    """Write the files, or compare; exit 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    checks = parser.parse_args().check
    wanted = files()
    there = {path.name: path.read_text() for path in TARGET.glob("*") if path.is_file()}
    stale = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if checks and stale:
        sys.exit(f"metrics/dashboards: {', '.join(stale)} is not what metrics/panels.py says: make docs")
    for name in [] if checks else stale:
        if name in wanted:
            (TARGET / name).write_text(wanted[name])
            print(f"metrics/dashboards/{name}")


if __name__ == "__main__":
    main()
