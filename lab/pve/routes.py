"""Which function answers which endpoint."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lab.pve import (
    api_access,
    api_cluster,
    api_config,
    api_creation,
    api_snapshot,
    api_status,
    api_storage,
    api_tasks,
)
from lab.pve.call import Handler

LXC: Final = "/nodes/{node}/lxc"
CT: Final = "/nodes/{node}/lxc/{vmid}"
SNAPSHOT: Final = "/nodes/{node}/lxc/{vmid}/snapshot"
TASKS: Final = "/nodes/{node}/tasks"
TOKEN: Final = "/access/users/{userid}/token/{tokenid}"  # noqa: S105 - a path

ROUTES: Final[Mapping[tuple[str, str], Handler]] = MappingProxyType({
    ("GET", "/version"): api_cluster.version,
    ("GET", "/nodes"): api_cluster.nodes,
    ("GET", "/nodes/{node}/status"): api_cluster.node_status,
    ("GET", "/nodes/{node}/version"): api_cluster.version,
    ("GET", "/cluster/nextid"): api_cluster.next_id,
    ("GET", "/cluster/resources"): api_cluster.resources,
    ("GET", "/cluster/status"): api_cluster.cluster_status,
    ("GET", "/cluster/tasks"): api_tasks.cluster_tasks,
    ("GET", TASKS): api_tasks.list_tasks,
    ("DELETE", TASKS + "/{upid}"): api_tasks.stop_task,
    ("GET", TASKS + "/{upid}/status"): api_tasks.task_status,
    ("GET", TASKS + "/{upid}/log"): api_tasks.task_log,
    ("POST", "/access/ticket"): api_access.create_ticket,
    ("POST", "/access/users"): api_access.create_user,
    ("POST", "/access/roles"): api_access.create_role,
    ("PUT", "/access/acl"): api_access.update_acl,
    ("GET", "/access/permissions"): api_access.permissions,
    ("POST", TOKEN): api_access.create_token,
    ("DELETE", TOKEN): api_access.delete_token,
    ("GET", "/storage"): api_storage.list_storages,
    ("POST", "/storage"): api_storage.create_storage,
    ("GET", "/nodes/{node}/storage"): api_storage.node_storages,
    ("GET", "/nodes/{node}/storage/{storage}/status"): api_storage.storage_status,
    ("GET", "/nodes/{node}/storage/{storage}/content"): api_storage.storage_content,
    ("GET", LXC): api_status.list_containers,
    ("POST", LXC): api_creation.create,
    ("GET", CT): api_cluster.container_index,
    ("DELETE", CT): api_creation.destroy,
    ("GET", CT + "/config"): api_config.get_config,
    ("PUT", CT + "/config"): api_config.put_config,
    ("GET", CT + "/pending"): api_config.get_pending,
    ("GET", CT + "/status"): api_cluster.status_index,
    ("GET", CT + "/status/current"): api_status.current,
    ("POST", CT + "/status/start"): api_status.start,
    ("POST", CT + "/status/stop"): api_status.stop,
    ("POST", CT + "/status/shutdown"): api_status.shutdown,
    ("POST", CT + "/status/reboot"): api_status.reboot,
    ("GET", CT + "/interfaces"): api_status.interfaces,
    ("GET", CT + "/feature"): api_status.feature,
    ("PUT", CT + "/resize"): api_creation.resize,
    ("POST", CT + "/clone"): api_creation.clone,
    ("POST", CT + "/template"): api_creation.make_template,
    ("GET", SNAPSHOT): api_snapshot.list_snapshots,
    ("POST", SNAPSHOT): api_snapshot.create,
    ("DELETE", SNAPSHOT + "/{snapname}"): api_snapshot.delete,
    ("POST", SNAPSHOT + "/{snapname}/rollback"): api_snapshot.rollback,
    ("GET", SNAPSHOT + "/{snapname}/config"): api_snapshot.get_config,
    ("PUT", SNAPSHOT + "/{snapname}/config"): api_snapshot.put_config,
})  # fmt: skip
