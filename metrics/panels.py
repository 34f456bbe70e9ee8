"""What the dashboards show: titles, queries, units. tools/dashboards.py makes Grafana's JSON of it."""

from typing import Final

from metrics.dashboard import Dashboard, Panel, Query
from metrics.panels_data import DATA

_RELEASE: Final = 'release=~"$release"'
_WATCHED: Final = f"psa_release_phase{{{_RELEASE}}} == 1"

OVERVIEW: Final = Dashboard(
    uid="psa-overview",
    title="PSA: overview",
    says="Is everything as asked, and who is live?",
    panels=(
        Panel(
            "Objects that are not Ready",
            "0 is well.",
            (Query('sum(psa_resource_condition{type="Ready", status="True"} == bool 0) or vector(0)'),),
            shape="stat",
            width=6,
        ),
        Panel(
            "Objects that differ from their files",
            "0 is well; more for a moment is work.",
            (Query("count(psa_drift_fields > 0) or vector(0)"),),
            shape="stat",
            width=6,
        ),
        Panel(
            "Endpoints that do not answer",
            "0 is well.",
            (Query("count(psa_target_up == 0) or vector(0)"),),
            shape="stat",
            width=6,
        ),
        Panel(
            "Alerts that fire",
            "0 is well.",
            (Query('count(ALERTS{alertstate="firing"}) or vector(0)'),),
            shape="stat",
            width=6,
        ),
        Panel(
            "Phase of each release",
            "Watch and Soak are under the rule.",
            (Query("psa_release_phase == 1", "{{release}}: {{phase}}"),),
            shape="state-timeline",
        ),
        Panel(
            "Who gets the traffic",
            "As asked and as HAProxy has it; they differ for a second at most.",
            (Query("psa_traffic_weight_ratio", "{{service}} {{server}} {{view}}"),),
            unit="percentunit",
        ),
        Panel(
            "Ready by kind",
            "Share of the objects of a kind.",
            (Query('avg by (kind) (psa_resource_condition{type="Ready", status="True"})', "{{kind}}"),),
            unit="percentunit",
        ),
        Panel(
            "Firing alerts",
            "Each with its runbook in docs/runbooks.",
            (Query('ALERTS{alertstate="firing"}', "{{alertname}}", is_quiet=True),),
            shape="table",
        ),
    ),
)
RELEASE: Final = Dashboard(
    uid="psa-release",
    title="PSA: release",
    says="Does the candidate keep its limits, and what happens next?",
    variable=("release", "label_values(psa_release_phase, release)"),
    panels=(
        Panel(
            "Phase",
            "What the attempt is doing.",
            (Query(_WATCHED, "{{phase}}"),),
            shape="state-timeline",
            width=24,
        ),
        Panel(
            "Errors of each role against the limit",
            "Since the split. The dashed line is the limit.",
            (
                Query(f"psa_release_error_ratio{{{_RELEASE}}}", "{{service}} {{role}}"),
                Query(f"psa_release_error_limit{{{_RELEASE}}}", "limit", is_limit=True),
            ),
            unit="percentunit",
        ),
        Panel(
            "Requests of each role",
            "The sample that the decision stands on, a minute.",
            (Query(f"psa:release_requests:increase1m{{{_RELEASE}}}", "{{service}} {{role}}"),),
        ),
        Panel(
            "Weights asked and observed",
            "They differ for a second at most.",
            (Query("psa_traffic_weight_ratio", "{{service}} {{server}} {{view}}"),),
            unit="percentunit",
        ),
        Panel(
            "Response time",
            "p50, p95 and p99 by server, from HAProxy's log.",
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (backend, server, le)"
                    " (rate(psa_backend_response_seconds_bucket[1m])))",
                    f"{name} {{{{server}}}}",
                )
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
            ),
            unit="s",
        ),
        Panel(
            "Rollbacks",
            "By who asked for them.",
            (Query(f"sum by (trigger) (psa_rollbacks_total{{{_RELEASE}}})", "{{trigger}}"),),
        ),
        Panel(
            "Failed requests a second",
            "What users of each role saw.",
            (Query(f"psa:release_errors:increase1m{{{_RELEASE}}} / 60", "{{service}} {{role}}"),),
            unit="reqps",
        ),
    ),
)
BACKENDS: Final = Dashboard(
    uid="psa-backends",
    title="PSA: backends",
    says="What users get from each server, at all times.",
    variable=("backend", "label_values(psa_backend_requests_total, backend)"),
    panels=(
        Panel(
            "Requests a second",
            "By server.",
            (Query('psa:backend_request_rate:rate1m{backend=~"$backend"}', "{{backend}} {{server}}"),),
            unit="reqps",
        ),
        Panel(
            "Share of errors",
            "5xx, refused, broken; never 4xx.",
            (Query('psa:backend_error_ratio:rate1m{backend=~"$backend"}', "{{backend}} {{server}}"),),
            unit="percentunit",
        ),
        Panel(
            "Response time, p95",
            "From HAProxy's log.",
            (Query('psa:backend_response_seconds:p95_5m{backend=~"$backend"}', "{{backend}} {{server}}"),),
            unit="s",
        ),
        Panel(
            "Wrong colour",
            "Seconds of users on a server that should have none.",
            (Query("increase(psa_wrong_color_seconds_total[5m])", "{{service}}"),),
            unit="s",
        ),
    ),
)
CONTROLLERS: Final = Dashboard(
    uid="psa-controllers",
    title="PSA: controllers",
    says="How the daemon itself does.",
    panels=(
        Panel(
            "Passes a second",
            "By kind and result.",
            (Query("sum by (kind, result) (rate(psa_reconcile_total[1m])) > 0", "{{kind}} {{result}}"),),
            unit="ops",
        ),
        Panel(
            "Duration of a pass, p95",
            "By kind.",
            (
                Query(
                    "histogram_quantile(0.95, sum by (kind, le)"
                    " (rate(psa_reconcile_duration_seconds_bucket[5m])))",
                    "{{kind}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            "Queue", "Objects with a next look planned or due.", (Query("psa_workqueue_depth", "objects"),)
        ),
        Panel(
            "Lateness of a pass, p95",
            "From due to start.",
            (Query("histogram_quantile(0.95, rate(psa_workqueue_latency_seconds_bucket[5m]))", "p95"),),
            unit="s",
        ),
        Panel(
            "Changes outside, a minute",
            "By system and outcome; silent when nothing is to do.",
            (Query("sum by (system, result) (increase(psa_effects_total[1m]))", "{{system}} {{result}}"),),
        ),
        Panel(
            "Lateness of the loop",
            "Below 0.1 s.",
            (Query("psa_event_loop_lag_seconds", "lag"),),
            unit="s",
        ),
    ),
)
DASHBOARDS: Final = (OVERVIEW, RELEASE, BACKENDS, DATA, CONTROLLERS)
