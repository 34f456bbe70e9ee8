"""The work set against a model made of two dictionaries and a set."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crds.meta import Key
from daemon.engine.workset import Priority, WorkSet

keys = st.sampled_from([Key("Container", name) for name in "abcde"])


class WorkSetMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.work = WorkSet()
        self.due: dict[Key, float] = {}
        self.priority: dict[Key, Priority] = {}
        self.out: set[Key] = set()
        self.now = 0.0

    @rule(key=keys, priority=st.sampled_from(Priority), delay=st.floats(0, 500))
    def add(self, key: Key, priority: Priority, delay: float) -> None:
        due = self.now + delay
        self.work.add(key, priority, due)
        self.due[key] = min(self.due.get(key, due), due)
        self.priority[key] = max(self.priority.get(key, priority), priority)

    @rule(seconds=st.floats(0, 300))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(reserved_only=st.booleans())
    def take(self, *, reserved_only: bool) -> None:
        taken = self.work.take(self.now, reserved_only=reserved_only)
        candidates = {
            key
            for key, due in self.due.items()
            if due <= self.now
            and key not in self.out
            and (self.priority[key] >= Priority.RELEASE or not reserved_only)
        }
        if taken is None:
            assert not candidates
            return
        assert taken.key in candidates
        assert taken.priority is self.priority[taken.key]
        urgent = {key for key in candidates if self.priority[key] >= Priority.RELEASE}
        assert not urgent or taken.key in urgent
        del self.due[taken.key], self.priority[taken.key]
        self.out.add(taken.key)

    @rule(key=keys)
    def done(self, key: Key) -> None:
        self.work.done(key)
        self.out.discard(key)

    @rule(key=keys)
    def forget(self, key: Key) -> None:
        self.work.forget(key)
        self.due.pop(key, None)
        self.priority.pop(key, None)

    @invariant()
    def knows_when_the_next_key_is_due(self) -> None:
        waiting = [due for key, due in self.due.items() if key not in self.out]
        due, earliest = self.work.next_due(), min(waiting, default=None)
        if due is not None and earliest is not None and earliest <= self.now:
            assert due <= self.now
        else:
            assert due == earliest
        assert len(self.work) == len(self.due)


TestWorkSet = WorkSetMachine.TestCase
TestWorkSet.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
