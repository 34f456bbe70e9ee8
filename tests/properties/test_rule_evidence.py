"""Properties of the decision rule that hold whatever comes: order, more errors, restarts, roles, segments."""

import math
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crds.evidence import Evidence
from crds.release import Method
from reconcilers.release.analysis import Action, judge
from reconcilers.release.detection import Delta, error_trial, step, strength
from reconcilers.release.outlook import outlook, step_outlook
from reconcilers.release.rule import Rule, SlowLimit, Slowness
from reconcilers.release.sequential import at_least, at_most, grid, late_step, log_mixture, mean
from reconcilers.servers import Health
from tests.builders import START
from tests.builders_rule import Entry, FakeNode


@st.composite
def deltas(draw: st.DrawFn, most: int = 1000) -> Delta:
    requests, stable = draw(st.integers(0, most)), draw(st.integers(0, most))
    rarely = st.one_of(st.just(0), st.just(0), st.integers(0, 5), st.integers(0, most))
    return Delta(requests, min(requests, draw(rarely)), stable, min(stable, draw(rarely)))


methods = st.sampled_from(list(Method))
limits = st.sampled_from([0.0001, 0.001, 0.01, 0.05, 0.5, 0.9])


def after(came: list[Delta], rule: Rule) -> Evidence:
    detector, now = Evidence().failing, START
    for delta in came:
        now += timedelta(seconds=1)
        detector = step(detector, delta, error_trial(rule), now, 1.0)
    return Evidence(failing=detector)


def play(entry: Entry, came: list[Delta]) -> list[Any]:
    """Let it come, and return what was asked for after each tick."""
    asked = []
    for each in came:
        slow = (Slowness(each.requests, each.errors, each.stable_requests, each.stable_errors),)
        entry.tick(each.requests, each.errors, each.stable_requests, each.stable_errors, slowness=slow)
        asked.append(entry.judged())
    return asked


@given(st.lists(deltas(), max_size=30), limits, st.data())
def test_the_order_of_ticks_does_not_change_the_evidence_since_the_split(
    came: list[Delta], limit: float, data: st.DataObject
) -> None:
    rule = Rule(limit=limit, method=Method.OFF)
    other = data.draw(st.permutations(came))

    sums, others = after(came, rule).failing.sums, after(other, rule).failing.sums

    assert (sums.errors, sums.clean) == (others.errors, others.clean)


@given(st.lists(deltas(), min_size=1, max_size=20), limits, st.data())
def test_one_more_error_never_makes_the_candidate_look_better(
    came: list[Delta], limit: float, data: st.DataObject
) -> None:
    rule, at = Rule(limit=limit), data.draw(st.integers(0, len(came) - 1))
    old = came[at]
    worse = Delta(max(old.requests, old.errors + 1), old.errors + 1, old.stable_requests, old.stable_errors)
    same_size = Delta(worse.requests, old.errors, old.stable_requests, old.stable_errors)
    before = after([*came[:at], same_size, *came[at + 1 :]], rule).failing
    then = after([*came[:at], worse, *came[at + 1 :]], rule).failing

    if before.alarm is None and then.alarm is None:
        alternatives = grid(limit)
        less = log_mixture(alternatives, before.sums.errors, before.sums.clean)
        assert log_mixture(alternatives, then.sums.errors, then.sums.clean) >= less - 1e-9
        assert mean(then.late) >= mean(before.late) * (1 - 1e-9)
        assert then.cusum >= before.cusum - 1e-9


@given(st.lists(deltas(200), max_size=25), methods, limits, st.data())
@settings(max_examples=60)
def test_a_restart_at_any_tick_changes_nothing(
    came: list[Delta], method: Method, limit: float, data: st.DataObject
) -> None:
    rule = Rule(limit=limit, method=method, slow_limits=(SlowLimit(0.95, 100),))
    at = data.draw(st.integers(0, len(came)))
    steady, restarted = Entry(rule=rule).began(), Entry(rule=rule).began()
    asked = play(steady, came)
    before = play(restarted, came[:at])
    restarted.evidence = Evidence.model_validate_json(restarted.evidence.model_dump_json(by_alias=True))

    assert before + play(restarted, came[at:]) == asked
    assert restarted.evidence == steady.evidence
    assert outlook({"it": restarted.evidence}, rule) == outlook({"it": steady.evidence}, rule)


@given(st.lists(deltas(200), max_size=25), methods)
@settings(max_examples=60)
def test_colours_are_only_names(came: list[Delta], method: Method) -> None:
    rule = Rule(method=method, slow_limits=(SlowLimit(0.95, 100),))
    green = Entry(rule=rule, candidate="green", stable="blue").began()
    blue = Entry(rule=rule, candidate="blue", stable="green").began()

    assert play(green, came) == play(blue, came)


@given(st.lists(st.tuples(deltas(100), st.booleans()), max_size=25))
@settings(max_examples=60)
def test_reloads_of_haproxy_lose_nothing(came: list[tuple[Delta, bool]]) -> None:
    steady, reloaded = Entry().began(), Entry().began()
    for delta, reload in came:
        if reload:
            reloaded.node.pid += 1
            reloaded.node.shown.clear()
            for server in ("green", "blue"):
                reloaded.node.add(server)
        assert play(reloaded, [delta]) == play(steady, [delta])

    assert reloaded.evidence.failing == steady.evidence.failing


@given(st.lists(st.tuples(deltas(100), st.booleans()), max_size=25))
@settings(max_examples=60)
def test_a_node_that_comes_and_goes_loses_no_request(came: list[tuple[Delta, bool]]) -> None:
    other = FakeNode(socket="unix:///run/haproxy/2.sock")
    entry = Entry(others=(other,)).began()
    for delta, other.is_away in came:
        other.add("green", requests=delta.requests)
        entry.tick(3, 0, 0, 0)
    other.is_away = False
    entry.tick(0, 0, 0, 0)

    assert entry.evidence.failing.total.requests == sum(3 + delta.requests for delta, _ in came)


@given(
    st.lists(
        st.tuples(
            deltas(10**8),
            st.sampled_from([None, -3.0, 0.0, 0.1, 1.0, 10.0, 1e5]),
            st.sampled_from(list(Health)),
            st.sampled_from(list(Health)),
            st.sampled_from([True, False, None]),
            st.sampled_from([(0, 100), (5, 95), (50, 50), (100, 0)]),
        ),
        max_size=20,
    ),
    methods,
    limits,
)
@settings(max_examples=100)
def test_whatever_comes_is_answered_with_finite_figures(
    came: list[tuple[Delta, float | None, Health, Health, bool | None, tuple[int, int]]],
    method: Method,
    limit: float,
) -> None:
    rule = Rule(limit=limit, method=method, slow_limits=(SlowLimit(0.99, 100),))
    entry = Entry(rule=rule).began()
    for delta, elapsed_s, health, stable_health, truth, entry.weights in came:
        entry.node.health = {"green": health, "blue": stable_health}
        entry.node.is_away = truth is None
        entry.probes = dict.fromkeys(("candidate_probe", "is_running", "stable_probe"), truth)
        entry.node.add("green", requests=delta.requests, errors_5xx=delta.errors, sessions=delta.errors)
        entry.node.add("blue", requests=delta.stable_requests, refused=delta.stable_errors)
        entry.look(elapsed_s, (Slowness(delta.requests, delta.errors, 0, 0),))
        for in_soak in (True, False):
            found = judge(entry.evidence, rule, last_step_at=START, in_soak=in_soak)
            assert math.isfinite(found.evidence.log10_evidence)
            assert (found.action is Action.NONE) or (found.reason and found.message)
        assert outlook({"it": entry.evidence}, rule).message
        assert step_outlook({"it": entry.evidence}, rule).missing >= 0
        assert math.isfinite(mean(entry.evidence.failing.late))
    assert Evidence.model_validate_json(entry.evidence.model_dump_json(by_alias=True)) == entry.evidence


@given(st.integers(0, 400), st.integers(0, 400), st.floats(1e-6, 1 - 1e-6))
def test_tails_are_probabilities_that_add_up(errors: int, more: int, rate: float) -> None:
    requests = errors + more

    assert 0 <= at_least(errors, requests, rate) <= 1
    assert math.isclose(
        at_least(errors, requests, rate) + at_most(errors - 1, requests, rate), 1, abs_tol=1e-9
    )
    assert at_least(errors + 1, requests, rate) <= at_least(errors, requests, rate) + 1e-12


@given(limits, st.integers(1, 100))
def test_the_evidence_is_a_fair_game_at_the_limit(limit: float, requests: int) -> None:
    """Its mean is 1 after any number of requests, so that it exceeds 1/a with the probability a at most."""
    alternatives = grid(limit)
    mean_ratio = sum(
        math.comb(requests, k)
        * limit**k
        * (1 - limit) ** (requests - k)
        * math.exp(log_mixture(alternatives, k, requests - k))
        for k in range(requests + 1)
    )
    assert math.isclose(mean_ratio, 1, rel_tol=1e-6)


@given(limits, st.integers(1, 40), st.floats(0, 1e6))
def test_each_tick_adds_one_to_the_mean_of_the_later_evidence(
    limit: float, requests: int, before: float
) -> None:
    alternatives = grid(limit)
    late = (before,) * len(alternatives.rates)
    mean_late = sum(
        math.comb(requests, k)
        * limit**k
        * (1 - limit) ** (requests - k)
        * mean(late_step(alternatives, late, k, requests - k))
        for k in range(requests + 1)
    )
    assert math.isclose(mean_late, before + 1, rel_tol=1e-6)


@given(st.lists(deltas(), max_size=20))
def test_a_clean_candidate_is_never_rolled_back_for_what_stable_does(came: list[Delta]) -> None:
    clean = [Delta(each.requests, 0, each.stable_requests, each.stable_errors) for each in came]
    evidence = after(clean, Rule())

    assert evidence.failing.alarm is None
    assert strength(evidence.failing, error_trial(Rule())).log10_evidence <= 1e-9 + math.log10(len(came) + 1)
