"""What a snapshot of the directory does to the store."""

from collections.abc import Callable

from crds.container import ContainerSpec
from crds.meta import ConditionType, Key, Origin
from daemon.engine.intake import take_in
from daemon.sources.snapshot import Declared, Problem, Snapshot
from daemon.store.operations import Apply, Operation
from daemon.store.state import State, advance
from tests.builders import START, a_container_spec

A, B = Key("Container", "a"), Key("Container", "b")


def a_declaration(key: Key, file: str | None = None, **fields: object) -> Declared:
    spec: ContainerSpec = a_container_spec(**fields)
    return Declared(key, spec, {}, {}, Origin(file or f"{key.name}.yaml", 1), {})


def a_problem(file: str, key: Key | None = None) -> Problem:
    return Problem(file, 3, 5, "unknown field", f"{file}:3:5: error: unknown field", key)


def uids() -> Callable[[], str]:
    numbers = iter(range(1000))
    return lambda: f"{next(numbers):032x}"


def taken(state: State, snapshot: Snapshot) -> tuple[State, tuple[Operation, ...]]:
    operations = take_in(state, snapshot, START, uids())
    for operation in operations:
        state = advance(state, operation)
    return state, operations


def with_objects(*declared: Declared) -> State:
    return taken(State(), Snapshot(objects=declared, files=len(declared)))[0]


def source_valid(state: State, key: Key) -> tuple[str, str]:
    condition = state.objects[key].condition(ConditionType.SOURCE_VALID)
    assert condition is not None
    return condition.status.value, condition.reason


def test_new_objects_are_created_and_the_same_snapshot_again_changes_nothing() -> None:
    snapshot = Snapshot(objects=(a_declaration(A), a_declaration(B, ctid=101)))
    state, _ = taken(State(), snapshot)
    assert set(state.objects) == {A, B}
    assert source_valid(state, A) == ("True", "Accepted")
    assert taken(state, snapshot)[0] == state


def test_an_unreadable_directory_changes_nothing() -> None:
    state = with_objects(a_declaration(A))
    assert take_in(state, Snapshot(unreadable="there is no such directory"), START, uids()) == ()


def test_a_file_that_is_gone_only_marks_an_orphan() -> None:
    state = with_objects(a_declaration(A), a_declaration(B, ctid=101))
    state, _ = taken(state, Snapshot(objects=(a_declaration(A),)))
    assert state.objects[B].orphaned_since == START
    assert source_valid(state, B) == ("False", "Orphaned")
    state, _ = taken(state, Snapshot(objects=(a_declaration(A), a_declaration(B, ctid=101))))
    assert state.objects[B].orphaned_since is None
    assert state.objects[B].generation == 1


def test_a_renamed_file_is_nothing() -> None:
    state = with_objects(a_declaration(A))
    before = state.objects[A]
    state, _ = taken(state, Snapshot(objects=(a_declaration(A, file="elsewhere/new.yaml"),)))
    assert state.objects[A].generation == before.generation
    assert state.objects[A].uid == before.uid
    assert state.objects[A].origin == Origin("elsewhere/new.yaml", 1)


def test_objects_of_a_broken_file_keep_their_last_good_spec() -> None:
    state = with_objects(a_declaration(A))
    snapshot = Snapshot(problems=(a_problem("a.yaml"),), broken_files=frozenset({"a.yaml"}))
    state, _ = taken(state, snapshot)
    assert state.objects[A].orphaned_since is None
    assert source_valid(state, A) == ("False", "Refused")
    last = state.last_events[A]
    assert "a.yaml:3:5: error" in last.message
    assert taken(state, snapshot)[0] == state


def test_a_refused_object_keeps_its_last_good_spec_and_a_new_one_is_not_made() -> None:
    state = with_objects(a_declaration(A))
    refused = {A: a_problem("a.yaml", A), B: a_problem("b.yaml", B)}
    state, _ = taken(state, Snapshot(refused=refused))
    assert set(state.objects) == {A}
    assert state.objects[A].orphaned_since is None
    assert source_valid(state, A) == ("False", "Refused")


def test_what_is_wrong_is_one_line_in_conditions_and_events() -> None:
    text = "a.yaml:3:5: error: no field\n  3 | memroy: 1Gi\n    | ^^^^^^\n    = did you mean memory?"
    problem = Problem("a.yaml", 3, 5, "no field; did you mean memory?", text, A)
    state, _ = taken(with_objects(a_declaration(A)), Snapshot(refused={A: problem}))
    condition = state.objects[A].condition(ConditionType.SOURCE_VALID)
    assert condition is not None
    assert condition.message == "a.yaml:3:5: error: no field; did you mean memory?"
    assert state.last_events[A].message == f"the last good spec stays in force: {condition.message}"


def test_a_new_object_may_not_take_what_an_object_in_a_broken_file_holds() -> None:
    state = with_objects(a_declaration(A, ctid=100))
    snapshot = Snapshot(
        objects=(a_declaration(B, ctid=100),),
        problems=(a_problem("a.yaml"),),
        broken_files=frozenset({"a.yaml"}),
    )
    state, _ = taken(state, snapshot)
    assert B not in state.objects


def test_a_file_may_not_declare_the_child_of_another_object() -> None:
    state = with_objects(a_declaration(A))
    child = advance(state, _child_of(A))
    state, _ = taken(child, Snapshot(objects=(a_declaration(A), a_declaration(B, ctid=101, cores=64))))
    assert state.objects[B].owner == A
    assert state.objects[B].spec == child.objects[B].spec


def _child_of(owner: Key) -> Operation:
    return Apply(B, "b", a_container_spec(ctid=101), START, owner=owner)


def test_a_changed_file_counts_a_generation() -> None:
    state = with_objects(a_declaration(A))
    state, _ = taken(state, Snapshot(objects=(a_declaration(A, memory="6Gi"),)))
    assert state.objects[A].generation == 2
    assert state.last_events[A].reason == "SpecChanged"
