"""Decides what a container needs: pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from crds.container import ContainerSpec, ContainerStatus, PowerState
from crds.meta import ConditionType, Truth, Verb
from reconcilers.container.asked import answers, with_restart
from reconcilers.container.errands import CALL_DEADLINE, Errands, settle
from reconcilers.container.model import (
    GIB,
    Absent,
    Configure,
    ContainerAction,
    Create,
    Destroy,
    Elsewhere,
    Place,
    Resize,
    Seen,
    SeenContainer,
    Shutdown,
    Silent,
    Start,
    Stop,
    World,
)
from reconcilers.container.ownership import half_made, is_ours, made_otherwise, stranger, taken
from reconcilers.container.settings import (
    ADOPTED_TAG,
    Difference,
    creation_options,
    differences,
    recipe_of,
    recipe_tag,
)
from reconcilers.contract import (
    Change,
    Plan,
    Resource,
    Step,
    StepClass,
    Verdict,
)

ContainerPlan = Plan[ContainerAction]
ContainerStep = Step[ContainerAction]

_AT_ONCE: Final = timedelta(seconds=0.05)
_LATER: Final = timedelta(seconds=5)
_DEADLINES: Final = {
    "create": timedelta(minutes=15),
    "resize": timedelta(minutes=30),
    "start": timedelta(minutes=3),
    "stop": timedelta(minutes=2),
    "destroy": timedelta(minutes=10),
}
_SHUTDOWN_GRACE: Final = timedelta(minutes=1)


def plan_container(container: Resource[ContainerSpec], seen: Seen, now: datetime) -> ContainerPlan:
    """Settle what was begun, then compare the container with its spec."""
    errands = settle(container, seen, now)
    writes = (*errands.writes, *answers(container, seen, errands.writes))
    status = _status(container, seen.world, errands)
    if errands.waiting is not None or errands.failed is not None or seen.world is None:
        return Plan(
            writes=writes,
            status=status,
            waiting=errands.waiting,
            failed=errands.failed,
            blocked=None if errands.overdue is None else ("TaskOverdue", errands.overdue),
            recheck_after=errands.recheck_after,
        )
    plan = _Comparison(container, seen, status).plan(seen.world)
    if not any(isinstance(step.action, Stop) for step in plan.steps):
        # Nothing is to be halted any more: the next time begins with an orderly shutdown again.
        status = status.model_copy(update={"stuck": None})
    recheck = _AT_ONCE if errands.writes else plan.recheck_after
    plan = replace(plan, writes=writes, status=status, recheck_after=recheck)
    return with_restart(container, seen, plan, now)


def _status(container: Resource[ContainerSpec], world: World | None, errands: Errands) -> ContainerStatus:
    last = container.status if isinstance(container.status, ContainerStatus) else ContainerStatus()
    stuck = errands.stuck or last.stuck
    asked = container.spec.restart
    match world:
        case SeenContainer(node=node, is_running=is_running, config=config, pending=pending):
            return ContainerStatus(
                restarted=last.restarted if is_running else asked,
                node=node,
                state="running" if is_running else "stopped",
                recipe=recipe_of(config),
                adopted=ADOPTED_TAG in config.tags,
                pending=pending,
                task=errands.task,
                stuck=stuck if is_running else None,
            )
        case Absent():
            return ContainerStatus(restarted=asked, task=errands.task)
        case Elsewhere(node=node):
            return ContainerStatus(node=node, restarted=last.restarted, task=errands.task)
        case Silent() | None:
            return last.model_copy(update={"task": errands.task or last.task, "stuck": stuck})
        case _:
            assert_never(world)


class _Comparison:
    """One container against its spec."""

    def __init__(self, container: Resource[ContainerSpec], seen: Seen, status: ContainerStatus) -> None:
        self._container = container
        self._spec = container.spec
        self._place = Place(container.spec.endpoint, container.spec.node, container.spec.ctid)
        self._seen = seen
        self._stuck = status.stuck
        self._is_restart_due = container.spec.restart not in {None, status.restarted}

    def plan(self, world: World) -> ContainerPlan:
        match world:
            case Silent(message):
                silent = Verdict(ConditionType.READY, Truth.UNKNOWN, "NodeSilent", message)
                return Plan(waiting=message, verdicts=(silent,), recheck_after=_LATER)
            case Elsewhere(node, is_container):
                return Plan(blocked=self._elsewhere(node, is_container=is_container))
            case Absent():
                return self._guarded((self._create(),), lock=None)
            case SeenContainer():
                return self._present(world)
            case _:
                assert_never(world)

    def _elsewhere(self, node: str, *, is_container: bool) -> tuple[str, str]:
        if not is_container:
            return "IdTaken", f"{self._place}: the id belongs to a virtual machine on {node}"
        message = f"{self._place} is on {node}, not on {self._place.node}: migrate it, or change spec.node"
        return "NodeMismatch", message

    def _guarded(self, steps: tuple[ContainerStep, ...], lock: str | None) -> ContainerPlan:
        """Hold steps back while the container is locked or the cluster cannot write."""
        if steps and lock is not None:
            return Plan(waiting=f"{self._place} is locked ({lock})", recheck_after=_LATER)
        if steps and self._seen.is_quorate is False:
            message = f"{self._place.endpoint} has no quorum: it takes no changes"
            return Plan(waiting=message, recheck_after=_LATER)
        return Plan(steps=steps)

    def _create(self) -> ContainerStep:
        spec = self._spec
        options = creation_options(spec, self._container.key.name, self._container.uid)
        after = ", then start it" if spec.state is PowerState.RUNNING else ""
        return self._exclusive(
            Create(self._place, options),
            f"create CT {spec.ctid} on {spec.node} from {spec.template}{after}",
            deadline=_DEADLINES["create"],
            path="spec.template",
            changes=(Change("spec.ctid", "none", str(spec.ctid)),),
        )

    def _present(self, world: SeenContainer) -> ContainerPlan:
        blocked = half_made(self._place, world) or taken(self._container, self._place, world)
        if blocked is not None:
            return Plan(blocked=blocked, recheck_after=_LATER if world.lock else None)
        if world.config.hostname is None and world.lock is not None:
            return Plan(waiting=f"{self._place} is locked ({world.lock})", recheck_after=_LATER)
        foreign = stranger(self._container, self._place, world)
        changes = differences(self._spec, self._container.key.name, self._container.uid, world.config)
        steps, hindrance = self._steps(world, changes)
        plan = self._guarded(steps, world.lock)
        degraded = self._pending(world)
        return replace(
            plan,
            foreign=foreign,
            blocked=hindrance,
            verdicts=() if degraded is None else (degraded,),
        )

    def _steps(
        self, world: SeenContainer, changes: tuple[Difference, ...]
    ) -> tuple[tuple[ContainerStep, ...], tuple[str, str] | None]:
        """Return the steps of this pass, at most one of them exclusive, and what stands in the way."""
        renewals = self._renewals(world) if is_ours(self._container, world) else ()
        settings = (self._configure(world, changes),) if changes else ()
        if renewals and (Verb.RECREATE in self._spec.allow or self._may_replace(world)):
            # Settings of what is about to go matter only where they protect it.
            if world.config.protection:
                return (settings, None) if self._spec.protection is False else ((), self._protected())
            return self._renewal(world, renewals)
        steps, hindrance = [*settings], None
        growth = self._growth(world)
        if isinstance(growth, Step):
            steps.append(growth)
        else:
            hindrance = growth
            power = self._power(world, has_settings=bool(settings))
            if isinstance(power, Step):
                steps.append(power)
            else:
                hindrance = hindrance or power
        if renewals and not any(step.step_class is StepClass.EXCLUSIVE for step in steps):
            held, obstacle = self._renewal(world, renewals)
            steps += held
            hindrance = hindrance or obstacle
        return tuple(steps), hindrance

    def _configure(self, world: SeenContainer, changes: tuple[Difference, ...]) -> ContainerStep:
        options = tuple((d.option, d.value) for d in changes if d.value is not None)
        deleted = tuple(d.option for d in changes if d.value is None)
        all_changes = tuple(change for d in changes for change in d.changes)
        return Step(
            Configure(self._place, world.config.digest, options, deleted),
            StepClass.ABSOLUTE,
            target=str(self._place),
            summary=_sentence(changes, is_running=world.is_running),
            changes=all_changes,
            origin=self._container.where(all_changes[0].path),
            deadline=CALL_DEADLINE,
        )

    def _growth(self, world: SeenContainer) -> ContainerStep | tuple[str, str] | None:
        root, wanted = world.config.root, self._spec.disk
        if wanted is None or root is None or root.size_bytes is None or root.size_bytes == wanted * GIB:
            return None
        old = f"{root.size_bytes / GIB:g}"
        if root.size_bytes > wanted * GIB:
            return "Shrink", f"disk {old} → {wanted} GiB: a disk of {self._place} never shrinks"
        return self._exclusive(
            Resize(self._place, wanted),
            f"disk {old} → {wanted} GiB{', live, no restart' if world.is_running else ''}",
            deadline=_DEADLINES["resize"],
            path="spec.disk",
            changes=(Change("spec.disk", f"{old}Gi", f"{wanted}Gi"),),
        )

    def _power(self, world: SeenContainer, *, has_settings: bool) -> ContainerStep | tuple[str, str] | None:
        wants_running = self._spec.state is PowerState.RUNNING
        waits = self._waiting_for_restart(world)
        restarts = self._is_restart_due or (bool(waits) and not has_settings)
        if wants_running == world.is_running and not (wants_running and restarts):
            return None
        if world.ha_state is not None:
            message = f"{self._place} is driven by HA (state {world.ha_state}): nothing is started or stopped"
            return "ManagedByHA", message
        if not world.is_running:
            change = Change("spec.state", "stopped", "running")
            summary = f"start CT {self._place.ctid}"
            deadline = _DEADLINES["start"]
            return self._exclusive(
                Start(self._place), summary, deadline=deadline, path="spec.state", changes=(change,)
            )
        if not wants_running:
            return self._halt(f"shut down CT {self._place.ctid}", path="spec.state", needs=None)
        if self._is_restart_due:
            return self._halt(
                f"restart CT {self._place.ctid}, as a release asked", path="spec.restart", needs=None
            )
        summary = f"restart CT {self._place.ctid}, so that {', '.join(waits)} takes effect"
        return self._halt(summary, path=f"spec.{waits[0]}", needs=Verb.RESTART)

    def _halt(
        self, summary: str, *, path: str, needs: Verb | None, cut: Verb | None = Verb.FORCE_STOP
    ) -> ContainerStep:
        """Ask for an orderly shutdown; cut the power after one that did not end, if that is allowed."""
        changes = (Change("spec.state", "running", "stopped"),)
        if self._stuck is not None and (needs is None or needs in self._spec.allow):
            return self._exclusive(
                Stop(self._place),
                f"cut the power of CT {self._place.ctid}: an orderly shutdown did not end",
                deadline=_DEADLINES["stop"],
                path=path,
                changes=changes,
                needs=cut,
            )
        timeout = self._spec.shutdown_timeout
        return self._exclusive(
            Shutdown(self._place, timeout),
            summary,
            deadline=timeout + _SHUTDOWN_GRACE,
            path=path,
            changes=changes,
            needs=needs,
        )

    def _renewals(self, world: SeenContainer) -> tuple[Change, ...]:
        """Return the create-time fields that are not as asked."""
        template = (Change("spec.template", "another", self._spec.template),)
        is_other = recipe_of(world.config) not in {None, recipe_tag(self._spec)}
        return (*(template if is_other else ()), *made_otherwise(self._spec, world))

    def _may_replace(self, world: SeenContainer) -> bool:
        """Whether a release said that this very container may go."""
        return self._spec.replace is not None and self._spec.replace == recipe_of(world.config)

    def _renewal(
        self, world: SeenContainer, renewals: tuple[Change, ...]
    ) -> tuple[tuple[ContainerStep, ...], tuple[str, str] | None]:
        if world.ha_state is not None:
            return (), ("ManagedByHA", f"{self._place} is driven by HA: it is not made anew")
        why = ", ".join(f"{c.path.removeprefix('spec.')} {c.old} → {c.new}" for c in renewals)
        summary = f"make CT {self._place.ctid} anew ({why})"
        needs = None if self._may_replace(world) else Verb.RECREATE
        if world.is_running:
            # What a release replaces has no traffic any more.
            cut = Verb.FORCE_STOP if needs is not None else None
            path = renewals[0].path
            return (self._halt(f"{summary}: shut it down", path=path, needs=needs, cut=cut),), None
        step = self._exclusive(
            Destroy(self._place),
            f"{summary}: destroy it with its disks",
            deadline=_DEADLINES["destroy"],
            path=renewals[0].path,
            changes=renewals,
            needs=needs,
        )
        return (step,), None

    def _protected(self) -> tuple[str, str]:
        return "Protected", f"{self._place} is protected: it can be made anew only with protection: false"

    def _waiting_for_restart(self, world: SeenContainer) -> tuple[str, ...]:
        """Return the options of the spec that are stored and not yet in effect."""
        spec = self._spec
        declared = {
            "features": spec.features,
            "nameserver": spec.nameserver,
            "searchdomain": spec.searchdomain,
            "net0": spec.network,
            "cores": spec.cores,
            "memory": spec.memory,
            "swap": spec.swap,
        }
        return tuple(option for option in world.pending if declared.get(option) is not None)

    def _pending(self, world: SeenContainer) -> Verdict | None:
        waits = self._waiting_for_restart(world) if world.is_running else ()
        if not waits:
            return None
        message = f"takes effect with the next start: {', '.join(waits)}"
        return Verdict(ConditionType.DEGRADED, Truth.TRUE, "PendingRestart", message)

    def _exclusive(
        self,
        action: ContainerAction,
        summary: str,
        *,
        deadline: timedelta,
        path: str,
        changes: tuple[Change, ...],
        needs: Verb | None = None,
    ) -> ContainerStep:
        return Step(
            action,
            StepClass.EXCLUSIVE,
            target=str(self._place),
            summary=summary,
            changes=changes,
            needs=needs,
            origin=self._container.where(path),
            deadline=deadline,
        )


def _sentence(changes: tuple[Difference, ...], *, is_running: bool) -> str:
    """Say what changes, and whether a running container notices before its next start."""
    live = [change.words for change in changes if change.is_live]
    later = [change.words for change in changes if not change.is_live]
    if not is_running:
        return ", ".join(live + later)
    said = [f"{', '.join(live)}, live, no restart"] if live else []
    if later:
        said.append(f"{', '.join(later)}, with the next start")
    return "; ".join(said)
