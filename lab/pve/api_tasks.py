"""/nodes/{node}/tasks and /cluster/tasks."""

from typing import Final

from lab.pve import access, tasks
from lab.pve.call import Call
from lab.pve.message import Json, refused_parameters
from lab.pve.state import Task

DEFAULT_LIMIT: Final = 50
PER_NODE: Final = 25


def _own(call: Call, task: Task) -> bool:
    return task.user == call.who.name or task.user.partition("!")[0] == call.who.name


def _task(call: Call, *privileges: str) -> Task:
    """Return the task of the path.

    Raises: ApiError 400 for a text that is no UPID or a task that this node does not have, 403 for
    somebody else's.
    """
    upid = call.params["upid"]
    found = tasks.UPID.fullmatch(upid)
    if found is None:
        raise refused_parameters({"upid": "unable to parse worker upid"})
    if found["user"] not in (call.who.name, *_token_names(call)):
        access.require(call.world, call.who, f"/nodes/{call.node}", *privileges)
    task = tasks.find(call.world, upid, call.node)
    if task is None:
        raise refused_parameters({"upid": "no such task"})
    return task


def _token_names(call: Call) -> list[str]:
    user = call.world.users.get(call.who.user)
    if user is None or call.who.token:
        return []
    return [f"{user.userid}!{name}" for name in user.tokens]


def task_status(call: Call) -> Json:
    return tasks.status(_task(call, "Sys.Audit"), call.now)


def task_log(call: Call) -> Json:
    task = _task(call, "Sys.Audit")
    lines = [] if task.running(call.now) else task.log
    first, limit = int(call.params.get("start", "0")), int(call.params.get("limit", str(DEFAULT_LIMIT)))
    call.total = len(lines)
    return [{"n": n + 1, "t": lines[n]} for n in range(first, min(first + limit, len(lines)))]


def stop_task(call: Call) -> Json:
    """Kill the worker; a worker that had ended already is not an error."""
    task = _task(call, "Sys.Modify")
    if task.running(call.now) and not task.exitstatus:
        task.ends_at = call.now
        task.fails_with = "received interrupt"
    return None


def _wanted(call: Call, task: Task) -> bool:
    params = call.params
    source = params.get("source", "archive")
    running = task.running(call.now)
    return all((
        source == "all" or running == (source == "active"),
        not call.flag("errors") or task.exitstatus not in ("OK", ""),
        "vmid" not in params or task.id == params["vmid"],
        "typefilter" not in params or task.type == params["typefilter"],
        "userfilter" not in params or params["userfilter"] in task.user,
        task.starttime >= int(params.get("since", "0")),
        task.starttime <= int(params.get("until", str(task.starttime))),
    ))  # fmt: skip


def list_tasks(call: Call) -> Json:
    """Newest first; without Sys.Audit on the node only the caller's own."""
    everyone = call.may(f"/nodes/{call.node}", "Sys.Audit")
    mine = [t for t in call.world.tasks if t.node == call.node and (everyone or _own(call, t))]
    found = [task for task in reversed(mine) if _wanted(call, task)]
    first, limit = int(call.params.get("start", "0")), int(call.params.get("limit", str(DEFAULT_LIMIT)))
    call.total = len(found) or None
    return [tasks.listed(task, call.now) for task in found[first : first + limit]]


def cluster_tasks(call: Call) -> Json:
    """List the last tasks of each node, as the nodes broadcast them."""
    seen = [
        t for t in reversed(call.world.tasks) if _own(call, t) or call.may(f"/nodes/{t.node}", "Sys.Audit")
    ]
    latest = [t for node in call.world.nodes for t in [t for t in seen if t.node == node][:PER_NODE]]
    rows = [dict(tasks.listed(task, call.now)) | {"saved": "1"} for task in latest]
    return [{key: row[key] for key in row if key not in ("pid", "pstart")} for row in rows]
