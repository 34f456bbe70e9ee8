"""What people see, at 80 columns: each text was looked at."""

from typing import Any

import pytest

from daemon.cli.main import psactl
from daemon.cli.references import KIND_WORDS
from tests.builders_cli import GOOD, a_condition, a_plan, a_status, a_step, an_event, an_object
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl

NEEDS = "restart CT 122, so that spec.memory takes effect needs allow: [restart]"
STALLED = (
    a_condition("Ready", "False", "NotAllowed", NEEDS, since="2026-11-24T11:59:48Z"),
    a_condition("Stalled", "True", "NotAllowed", NEEDS, since="2026-11-24T11:59:48Z"),
)
CHANGING = (a_condition("Ready", "False", "Changing", "memory 4Gi → 6Gi, live, no restart"),)
SPLIT = {
    "service": "psa-crm",
    "blue": {"server": "blue", "weight": 100, "state": "ready"},
    "green": {"server": "green", "weight": 0, "state": "maint"},
}


def a_platform() -> list[object]:
    def ct(name: str, number: int, **rest: Any) -> object:
        spec, status = {"ctid": number, "node": "pve1"}, {"node": "pve1", "state": "running", "pending": []}
        return an_object(f"Container/{name}", spec=spec, status=status, **rest)

    return [
        ct("psa-crm-blue", 121, conditions=CHANGING),
        ct("psa-crm-green", 122, conditions=STALLED, owner="Service/psa-crm"),
        ct("psa-old", 104, orphanedSince="2026-11-24T10:00:00Z"),
        ct("psa-redis", 103),
        an_object(
            "Service/psa-crm",
            status={"live": "blue", "versions": {"blue": "1.4.0", "green": "1.5.0"}},
            children=["Container/psa-crm-blue", "Container/psa-crm-green", "TrafficSplit/psa-crm"],
            labels={"tier": "app"},
        ),
        an_object(
            "TrafficSplit/psa-crm",
            spec=SPLIT,
            status={"observed": ["node 1: blue 100 ready, green 0 maint"], "pids": {"node 1": 4711}},
            owner="Service/psa-crm",
        ),
    ]


def some_plans() -> list[object]:
    memory = a_step(
        "set memory 4Gi → 6Gi, live, no restart, and cores 2 → 4 as the file asks for",
        ("spec.memory", "4Gi", "6Gi"),
        ("spec.cores", "2", "4", "services/psa-crm.yaml:14"),
        origin="services/psa-crm.yaml:12",
    )
    restart = a_step("restart CT 122, so that memory takes effect", needs="restart", allowed=False)
    foreign = "CT 104 on pve exists and carries no stamp of ours"
    return [
        a_plan(
            "Container/psa-crm-blue", memory, a_step("start CT 121", ("spec.state", "Stopped", "Running"))
        ),
        a_plan("Container/psa-crm-green", restart, held={"reason": "NotAllowed", "message": NEEDS}),
        a_plan(
            "Container/psa-old",
            a_step("start CT 104", allowed=False),
            foreign=foreign,
            held={"reason": "AdoptionRequired", "message": f"{foreign}; set adopt: true to take it over"},
        ),
        a_plan("Container/psa-redis"),
        a_plan("Service/psa-crm", waiting="HAProxy has not checked green yet"),
    ]


def test_get_has_a_table_a_kind_that_fits_the_terminal(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = a_platform()

    assert (
        terminal("get").out
        == """\
CONTAINER      STATE         FOR  CT   NODE  RUNS     MESSAGE
psa-crm-blue   ◌ Changing    5m   121  pve1  running  memory 4Gi → 6Gi, live, n…
psa-crm-green  ✖ NotAllowed  12s  122  pve1  running  restart CT 122, so that s…
psa-old        ⏸ Orphaned    2h   104  pve1  running  its file is gone; nothing…
psa-redis      ✔ Ready       5m   103  pve1  running

SERVICE  STATE    FOR  LIVE
psa-crm  ✔ Ready  5m   blue 1.4.0

TRAFFICSPLIT  STATE    FOR  BLUE  GREEN  OBSERVED
psa-crm       ✔ Ready  5m   100   0      node 1: blue 100 ready, green 0 maint
"""
    )


def test_get_cuts_nothing_where_it_is_piped(daemon: RecordedDaemon, pipe: Psactl) -> None:
    daemon.objects = a_platform()

    out = pipe("get", "-o", "wide", "ct", "psa-crm-green").out

    assert out == (
        "CONTAINER      STATE         FOR  CT   NODE  RUNS     GEN  OWNER            FILE"
        "                       MESSAGE\n"
        "psa-crm-green  ✖ NotAllowed  12s  122  pve1  running  1/1  Service/psa-crm  "
        f"data/psa-crm-green.yaml:1  {NEEDS}\n"
    )


def test_plan_is_numbered_sentences_with_what_is_in_the_way(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.plans = some_plans()

    assert (
        terminal("plan").out
        == """\
Container/psa-crm-blue
   1. set memory 4Gi → 6Gi, live, no restart, and cores 2 → 4 as the file asks
      for (services/psa-crm.yaml:12)
   2. start CT 121
Container/psa-crm-green
   3. restart CT 122, so that memory takes effect
      ✖ destructive: needs allow: [restart]
Container/psa-old
   4. start CT 104
  ⏸ not ours: CT 104 on pve exists and carries no stamp of ours
  ⏸ held: set adopt: true to take it over
Service/psa-crm
  ◌ waiting: HAProxy has not checked green yet

4 steps on 3 objects, 1 object waiting or blocked.
"""
    )


def test_a_destructive_step_that_is_allowed_says_its_verb(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.plans = [a_plan("Container/psa-redis", a_step("restart CT 103", needs="restart"))]

    assert "✖ destructive: restart, which spec.allow has\n" in terminal("plan").out


def test_diff_is_fields_with_the_line_that_asks_for_them(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.plans = some_plans()[:2]

    assert (
        terminal("diff").out
        == """\
Container/psa-crm-blue
  memory: 4Gi → 6Gi  (services/psa-crm.yaml:12)
  cores: 2 → 4  (services/psa-crm.yaml:14)
  state: Stopped → Running
Container/psa-crm-green
  restart CT 122, so that memory takes effect
  ⏸ held: restart CT 122, so that spec.memory takes effect needs allow:
    [restart]

4 differences on 2 objects.
"""
    )


def test_only_the_objects_that_are_named_are_planned(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects, daemon.plans = a_platform(), some_plans()

    assert terminal("plan", "psa-redis").out == "Nothing to do.\n"
    assert daemon.posted("/api/v1/plan") == [{"objects": ["Container/psa-redis"]}]


def test_describe_tells_the_whole_story(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects, daemon.plans = a_platform(), some_plans()
    daemon.events = [an_event(1, "Container/psa-crm-blue", "StepDone", "x")]
    daemon.events.append(an_event(2, "Service/psa-crm", "Suspended", "for the night", actor="uid 0"))
    daemon.events.append(an_event(3, "Service/psa-crm", "StepFailed", "no answer", warning=True, count=3))

    assert (
        terminal("describe", "svc/psa-crm").out
        == """\
Service/psa-crm  ✔ Ready for 5m
  file        data/psa-crm.yaml:1
  created     2026-11-21T12:00:00Z (3d ago)
  generation  1, looked at 1
  uid         0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
  labels      tier=app

Conditions
  ✔ Ready              True       5m  AsAsked
  ✔ Synced             True       5m  NoDifference
  ✔ Progressing        False      5m  Idle
  ✔ Stalled            False      5m  Moving

Status
  live      blue
  versions  blue 1.4.0, green 1.5.0

Children
  Container/psa-crm-blue   ◌ Changing
  Container/psa-crm-green  ✖ NotAllowed
  TrafficSplit/psa-crm     ✔ Ready

Plan
  ◌ waiting: HAProxy has not checked green yet

Events
  11:59:02  ✔ Suspended: for the night [uid 0]
  11:59:03  ✖ StepFailed: no answer (3 times)
"""
    )


def test_the_plan_of_a_described_object_is_indented_under_its_number(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    daemon.objects, daemon.plans = a_platform(), some_plans()

    out = terminal("describe", "ct", "psa-crm-blue").out

    assert out.endswith("""\
Plan
   1. set memory 4Gi → 6Gi, live, no restart, and cores 2 → 4 as the file asks
      for (services/psa-crm.yaml:12)
   2. start CT 121
""")
    assert max(map(len, out.splitlines())) <= 80


def test_an_event_that_came_again_stands_where_it_was_seen_last(daemon: RecordedDaemon, pipe: Psactl) -> None:
    again = an_event(1, "Container/psa-crm-blue", "Start", count=2, at="2026-11-24T11:59:30Z")
    daemon.events = [again, an_event(2, "Release/psa-suite", "Smoke")]

    lines = pipe("events").out.splitlines()

    assert [line.split("  ")[0] for line in lines] == ["11:59:02", "11:59:30"]


@pytest.mark.parametrize("form", [(), ("-o", "wide")], ids=["narrow", "wide"])
def test_a_balancer_is_listed_without_its_socket_and_wide_is_never_cut(
    daemon: RecordedDaemon, terminal: Psactl, form: tuple[str, ...]
) -> None:
    nodes = [f"{name} at unix:///run/haproxy/{name}.sock: HAProxy 2.6.12, pid 7" for name in ("lb1", "lb2")]
    daemon.objects = [an_object("LoadBalancer/edge", status={"nodes": nodes}, spec={"endpoint": "edge"})]

    row = terminal("get", *form).out.splitlines()[1]

    shown = "edge          ✔ Ready  5m   edge      lb1: HAProxy 2.6.12, pid 7; lb2: HAProxy 2.6.12, pid 7"
    assert row.startswith(shown) if form else row == f"{shown[:79]}…"
    assert row.endswith("data/edge.yaml:1") is bool(form)


def test_events_are_wrapped_under_their_text(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.events = [
        an_event(1, "Container/psa-redis", "StepDone", "memory 4Gi → 6Gi, live, no restart"),
        an_event(2, "Container/psa-crm-green", "NotAllowed", NEEDS, warning=True, at="2026-11-23T08:00:00Z"),
    ]

    assert (
        terminal("events").out
        == """\
2026-11-23 08:00:00  ✖ Container/psa-crm-green  NotAllowed: restart CT 122, so
                       that spec.memory takes effect needs allow: [restart]
11:59:01  ✔ Container/psa-redis  StepDone: memory 4Gi → 6Gi, live, no restart
"""
    )


def test_status_shows_a_broken_file_with_its_caret(daemon: RecordedDaemon, terminal: Psactl) -> None:
    rendered = "a.yaml:7:3: error: unknown field `memori`\n  memori: 4Gi\n  ^^^^^^\n  did you mean memory?"
    problem = {
        "file": "a.yaml",
        "line": 7,
        "column": 3,
        "message": "unknown field",
        "rendered": rendered,
        "object": None,
    }
    endpoints = [
        {"name": "edge", "system": "haproxy", "up": False, "breaker": True},
        {"name": "pve", "system": "proxmox", "up": None, "breaker": False},
    ]
    source = {"healthy": True, "message": "", "files": 3, "problems": [problem]}
    daemon.status = a_status(source=source, endpoints=endpoints, objects={"total": 3, "ready": 2})

    assert (
        terminal("status").out
        == """\
psa-reconciler 0.1.0, up 3h
  ✔ mode       Enforce: differences are removed
  ✖ directory  3 files, 1 problem
      a.yaml:7:3: error: unknown field `memori`
        memori: 4Gi
        ^^^^^^
        did you mean memory?
  ◌ objects    2 of 3 ready
  ✖ endpoint   edge (haproxy): does not answer; looked at less often
  ◌ endpoint   pve (proxmox): not asked yet
"""
    )


def test_control_characters_of_a_server_do_not_reach_the_terminal(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    daemon.events = [an_event(1, "Container/psa-redis", "StepFailed", "no\x1b[2J\x9b2J\r\nanswer")]

    assert terminal("events").out == "11:59:01  ✔ Container/psa-redis  StepFailed: no [2J 2J  answer\n"


def test_an_object_that_is_ready_but_whose_file_is_refused_says_so(
    daemon: RecordedDaemon, pipe: Psactl
) -> None:
    refused = a_condition("SourceValid", "False", "Invalid", "a.yaml:7: unknown field")
    daemon.objects = [an_object(conditions=[*GOOD, refused])]

    assert "✔ Ready  5m   its file is refused, last good kept: a.yaml:7: unknown field" in pipe("get").out


def test_a_sentence_that_several_conditions_share_is_told_once(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    says = "1.2.0 is in quarantine since attempt 2"
    shared = [a_condition(kind, "False", "Quarantined", says) for kind in ("Ready", "Synced")]
    daemon.objects = [an_object(conditions=[*shared, a_condition("Stalled", "True", "Quarantined", says)])]
    daemon.plans = [a_plan("Container/psa-redis")]

    out = terminal("describe", "ct/psa-redis").out

    assert out.count(says) == 1
    assert "  ✖ Stalled            True       5m  Quarantined\n" in out


def test_what_was_seen_is_told_with_the_words_of_files_and_each_part_by_its_name(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    nodes = {"mq1": {"running": True, "pid": 7}, "mq2": {"running": False, "pid": None}}
    status = {"hasKeys": False, "nodes": nodes, "versions": {"blue": "1.4.0", "green": "1.5.0"}}
    daemon.objects = [an_object("RedisInstance/psa-redis", status=status)]
    daemon.plans = [a_plan("RedisInstance/psa-redis")]

    out = terminal("describe", "redis/psa-redis").out

    assert "  hasKeys   false\n" in out
    assert "  nodes     mq1: running true, pid 7; mq2: running false, pid\n" in out
    assert "  versions  blue 1.4.0, green 1.5.0\n" in out


def test_an_alarm_of_a_broker_is_told_once(daemon: RecordedDaemon, pipe: Psactl) -> None:
    says = "mq1 uses more memory than its limit of 1000000 bytes: all publishers are blocked"
    status = {
        "version": "3.12.1",
        "nodes": {"mq1": {"running": True}, "mq2": {"running": False}},
        "alarms": [says],
    }
    conditions = [a_condition("Ready", "False", "MemoryAlarm", says)]
    daemon.objects = [an_object("RabbitMQ/psa-rabbitmq", status=status, conditions=conditions)]

    assert pipe("get").out == (
        f"RABBITMQ      STATE          FOR  VERSION  NODES  MESSAGE\n"
        f"psa-rabbitmq  ✖ MemoryAlarm  5m   3.12.1   1/2    {says}\n"
    )


def test_the_help_names_the_short_name_of_each_kind(terminal: Psactl) -> None:
    said = " ".join(terminal("get", "--help").out.split())

    assert all(f"{short} ({kind})" in said for kind, (short, *_) in KIND_WORDS.items())


def test_the_help_fits_and_its_lines_are_those_of_the_commands(terminal: Psactl) -> None:
    out = terminal("--help").out

    assert max(map(len, out.splitlines())) <= 80
    for name, entry in psactl.entries.items():
        assert f"  {name} " in out
        if name not in {"lab", "demo"}:
            assert terminal(name, "--help").code == 0
        assert entry.help in out
