"""What people ask of an object, what it answers, what it notes for itself, and writes that came too late."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.meta import Key
from crds.release import ReleaseMemo, ReleaseSpec, ReleaseStatus
from daemon.store.database import Database
from daemon.store.operations import Apply, Ask, Assign, Operation, Orphan, Record, Reply, Report, Saw
from daemon.store.state import KEPT_ANSWERS
from daemon.store.store import StaleError, Store
from tests.builders import START, a_container_spec
from tests.fakes.releases import an_attempt
from tests.simulation.ports import InlineExecutor

KEY, CHILD = Key("Release", "psa-suite"), Key("Container", "one")
LATER = START + timedelta(minutes=5)
SPEC = ReleaseSpec(version="1.2.3", services=("psa-crm",))


def a_store(path: Path | str = ":memory:") -> Store:
    return Store(Database(path), InlineExecutor())


def asked(verb: str = "pause", **fields: object) -> Ask:
    return Ask(KEY, verb, "uid 0", START, **fields)  # type: ignore[arg-type]  # keywords of a test


def a_child(saw: Saw | None = None, version: str = "1.0.0", cores: int = 2) -> Apply:
    return Apply(
        CHILD, "c" * 32, a_container_spec(cores=cores), START, annotations={"version": version}, saw=saw
    )


async def test_requests_are_numbered_and_keep_all_that_was_said() -> None:
    store = a_store()
    await store.commit([Apply(KEY, "r" * 32, SPEC, START)])
    await store.commit([asked(reason="lunch", arguments={"until": "then"}), asked("resume")])
    first, second = store.state.objects[KEY].requests
    assert (first.id, first.verb, first.actor, first.at) == (1, "pause", "uid 0", START)
    assert (first.reason, first.arguments, first.answer) == ("lunch", {"until": "then"}, None)
    assert (second.id, second.verb) == (2, "resume")


async def test_an_answer_is_given_once() -> None:
    store = a_store()
    await store.commit([Apply(KEY, "r" * 32, SPEC, START), asked()])
    await store.commit([Reply(KEY, 1, accepted=False, message="nothing runs")])
    commits = store.commits
    await store.commit(
        [Reply(KEY, 1, accepted=True, message="paused"), Reply(KEY, 9, accepted=True, message="")]
    )
    [request] = store.state.objects[KEY].requests
    assert (request.accepted, request.answer) == (False, "nothing runs")
    assert store.commits == commits


async def test_what_is_asked_of_nobody_is_not_kept() -> None:
    store = a_store()
    await store.commit([asked(), Reply(KEY, 1, accepted=True, message="")])
    assert (store.commits, store.state.objects) == (0, {})


STEPS = st.lists(st.sampled_from(["ask", "oldest", "newest"]), max_size=60)


@given(steps=STEPS)
async def test_all_that_is_open_and_the_last_answers_are_kept_and_no_number_comes_twice(
    steps: list[str],
) -> None:
    store, given_numbers, open_numbers = a_store(), [0], list[int]()
    await store.commit([Apply(KEY, "r" * 32, SPEC, START)])
    for step in steps:
        if step == "ask":
            await store.commit([asked()])
            number = store.state.objects[KEY].requests[-1].id
            assert number > given_numbers[-1]
            given_numbers.append(number)
            open_numbers.append(number)
        elif open_numbers:
            number = open_numbers.pop(0 if step == "oldest" else -1)
            await store.commit([Reply(KEY, number, accepted=True, message="done")])
            assert any(each.id == number for each in store.state.objects[KEY].requests), "unreadable answer"
        requests = store.state.objects[KEY].requests
        assert [each.id for each in requests if each.answer is None] == sorted(open_numbers)
        assert len(requests) - len(open_numbers) <= KEPT_ANSWERS
        assert [each.id for each in requests] == sorted(each.id for each in requests)


async def test_requests_answers_memo_and_attempts_are_there_again_after_a_restart(tmp_path: Path) -> None:
    store = a_store(tmp_path / "state.db")
    status = ReleaseStatus(attempt=an_attempt(2, START, promoted_at=LATER))
    memo = ReleaseMemo(attempt=2, soaked_s=1.5, healthy_since=LATER)
    await store.commit([
        Apply(KEY, "r" * 32, SPEC, START),
        Report(KEY, START, (), 1, status, memo),
        asked("rollback", reason="it errs", arguments={"attempt": "2"}),
        asked("abort"),
        Reply(KEY, 1, accepted=True, message="traffic goes back to stable"),
        Assign("freeze", '{"until": "2026-12-24T00:00:00Z"}'),
    ])  # fmt: skip
    before = store.state
    store.close()
    again = a_store(tmp_path / "state.db")
    assert again.state == before
    assert again.state.objects[KEY].memo == memo
    assert again.state.value("freeze") == '{"until": "2026-12-24T00:00:00Z"}'
    again.close()


async def test_a_report_without_a_memo_leaves_the_last_one() -> None:
    store = a_store()
    await store.commit(
        [Apply(KEY, "r" * 32, SPEC, START), Report(KEY, START, (), 1, memo=ReleaseMemo(attempt=1))]
    )
    await store.commit([Report(KEY, LATER, (), 1)])
    assert store.state.objects[KEY].memo == ReleaseMemo(attempt=1)


async def test_a_write_that_saw_the_newest_state_is_kept() -> None:
    store = a_store()
    await store.commit([a_child(Saw.of(None))])
    await store.commit([a_child(Saw.of(store.state.get(CHILD)), cores=4)])
    assert store.state.objects[CHILD].generation == 2


CHANGES: dict[str, tuple[Operation, ...]] = {
    "another-spec": (a_child(cores=3),),
    "another-annotation": (a_child(version="2.0.0"),),
    "there-and-back": (a_child(cores=3), a_child()),
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
async def test_a_write_that_did_not_see_a_change_is_refused_with_all_that_came_with_it(
    changes: tuple[Operation, ...],
) -> None:
    store = a_store()
    await store.commit([a_child(), Apply(KEY, "r" * 32, SPEC, START)])
    saw = Saw.of(store.state.get(CHILD))
    for change in changes:
        await store.commit([change])
    before, commits = store.state, store.commits
    with pytest.raises(StaleError, match="Container/one changed: seen at generation 1, now"):
        await store.commit([Record(KEY, START, "Moved", "to green"), a_child(saw, cores=8), asked()])
    assert (store.state, store.commits, store.events(KEY)) == (before, commits, ())


async def test_a_write_of_something_new_is_refused_if_somebody_made_it_meanwhile() -> None:
    store = a_store()
    await store.commit([a_child()])
    with pytest.raises(StaleError, match="seen at generation 0, now 1"):
        await store.commit([a_child(Saw.of(None), cores=8)])


async def test_what_was_said_of_an_object_meanwhile_is_no_change_of_it() -> None:
    store = a_store()
    await store.commit([a_child()])
    saw = Saw.of(store.state.get(CHILD))
    await store.commit([Report(CHILD, START, (), 1), Orphan(CHILD, START)])
    await store.commit([a_child(saw, cores=8)])
    assert store.state.objects[CHILD].generation == 2


async def test_one_transaction_may_write_an_object_twice_from_what_was_seen_before_it() -> None:
    store = a_store()
    await store.commit([a_child()])
    saw = Saw.of(store.state.get(CHILD))
    await store.commit([a_child(saw, cores=4), a_child(saw, cores=5)])
    assert store.state.objects[CHILD].generation == 3
