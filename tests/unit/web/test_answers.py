"""What the API says of a plan."""

from crds.meta import Origin
from daemon.engine.gate import Gated
from daemon.engine.passes import Look
from daemon.store.state import State
from daemon.web.answers import plan_answer
from reconcilers.contract import Change, Plan, Step, StepClass
from tests.builders import a_container_spec, a_resource


def test_each_field_of_a_step_has_the_line_that_asks_for_it() -> None:
    lines = {"spec": 4, "spec.memory": 9, "spec.cores": 12}
    changes = tuple(Change(path, "1", "2") for path in ("spec.memory", "spec.cores", "spec.swap"))
    step = Step("do", StepClass.ABSOLUTE, "CT 100", "do it", changes, origin=Origin("one.yaml", 4))
    resource = a_resource(a_container_spec(), lines=lines)
    look = Look(Plan((step,)), Gated((step,), (), None), None, State())
    assert plan_answer(resource, look)["steps"] == [
        {
            "summary": "do it",
            "target": "CT 100",
            "class": "absolute",
            "changes": [
                {"path": "spec.memory", "old": "1", "new": "2", "origin": "one.yaml:9"},
                {"path": "spec.cores", "old": "1", "new": "2", "origin": "one.yaml:12"},
                {"path": "spec.swap", "old": "1", "new": "2", "origin": "one.yaml:4"},
            ],
            "needs": None,
            "allowed": True,
            "origin": "one.yaml:4",
        }
    ]
