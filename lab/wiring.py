"""How the lab's parts are joined: the daemon's settings, the simulator's world, HAProxy's configuration."""

import grp
import os
import pwd
import secrets
import stat
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from crds.service import Color, ServiceSpec
from daemon.sources.ownership import Ownership, directories_above
from lab.haproxy import LabConfig, LabHaproxy, pair
from lab.layout import Lab, LabError, haproxy_name
from lab.platform import Document, templates
from lab.processes import MARK

NODES: Final = ("pve1", "pve2", "pve3")
USER: Final = "psa@pve"
TOKEN: Final = "reconciler"  # noqa: S105 - its name
_ROLE: Final = "PSAReconciler"
#: Hooks that the settings name, in the order in which a release asks for them.
HOOKS: Final = ("unit", "integration", "e2e", "audit", "build", "smoke", "functional")
_HOOK: Final = Path(__file__).parent / "hooks" / "program.py"
#: What the daemon needs, and nothing else. Each line is one ACL entry of a token of its own.
PRIVILEGES: Final[Mapping[str, tuple[str, ...]]] = {
    "/vms": (
        "VM.Allocate",
        "VM.Audit",
        "VM.Config.CPU",
        "VM.Config.Disk",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.PowerMgmt",
    ),
    "/storage": ("Datastore.AllocateSpace",),
    "/sdn/zones/localnetwork": ("SDN.Use",),
    "/": ("Sys.Audit",),  # the quorum
}


def node_address(lab: Lab, number: int) -> str:
    """Return host:port of a Proxmox node, numbered from 1, in the management network."""
    return f"{lab.address(f'10.{10 + number}')}:8006"


def node_urls(lab: Lab) -> tuple[str, ...]:
    """Return the API of each node."""
    return tuple(f"https://{node_address(lab, number)}" for number in range(1, len(NODES) + 1))


def frontend_address(lab: Lab, node: int = 1) -> str:
    """Return host:port where users come in, at a HAProxy node numbered from 1."""
    return f"{lab.address(f'40.{9 + node}')}:8080"


def haproxy_page(lab: Lab, node: int = 1) -> str:
    """Return host:port of a HAProxy node's page of counters."""
    return f"{lab.address(f'40.{9 + node}')}:8404"


def daemon_address(lab: Lab) -> str:
    """Return host:port of the daemon's TCP door."""
    return f"{lab.address('0.1')}:9633"


def alerts_url(lab: Lab) -> str:
    """Return where the daemon takes alerts."""
    return f"http://{daemon_address(lab)}/webhooks/alertmanager"


def write_alert_token(lab: Lab) -> None:
    """Make the secret that Alertmanager shows to the daemon, once."""
    if not lab.alert_token.exists():
        lab.alert_token.touch(mode=0o600)
        lab.alert_token.write_text(f"{secrets.token_hex(16)}\n")


def simulator_setup(lab: Lab, documents: tuple[Document, ...]) -> Mapping[str, object]:
    """Return what ``POST /setup`` puts into the simulator: storage, templates, bridges, our token and rights.

    The token is made once and kept in its file.
    """
    if not lab.token.exists():
        lab.token.touch(mode=0o600)
        lab.token.write_text(f"{USER}!{TOKEN}={uuid.uuid4()}\n")
    secret = lab.token.read_text().strip().partition("=")[2]
    roles = {f"{_ROLE}{number}": rights for number, rights in enumerate(PRIVILEGES.values(), 1)}
    who = (USER, f"{USER}!{TOKEN}")  # a token has what it shares with its user
    entries = zip(PRIVILEGES, roles, strict=True)
    volumes = [volume.partition(":vztmpl/") for volume in templates(documents)]
    return {
        "size": {"cpus": 32, "memory_bytes": 128 << 30, "storage_bytes": 2 << 40},
        "templates": [{"storage": storage, "name": name} for storage, _, name in volumes],
        "bridges": ["vmbr0", "vmbr1", "vmbr2"],
        "users": {USER: ""},
        "roles": roles,
        "tokens": [{"user": USER, "name": TOKEN, "secret": secret}],
        "acl": [{"who": name, "path": path, "role": role} for path, role in entries for name in who],
    }


def haproxy_of(
    lab: Lab, services: Mapping[str, ServiceSpec], *, node: int = 1, keeps_state: bool = False
) -> LabHaproxy:
    """Return a HAProxy node of the lab: a backend for each service that has one, both colours at 100."""
    backends = []
    for spec in services.values():
        if spec.backend is not None:
            hosts = {
                color: f"{spec.colors[color].address.split('/')[0]}:{spec.colors[color].port}"
                for color in Color
            }
            backends.append(pair(hosts[Color.BLUE], hosts[Color.GREEN], name=spec.backend.name))
    config = LabConfig(
        frontend=frontend_address(lab, node),
        backends=tuple(backends),
        stats=haproxy_page(lab, node),
        loads_state_file=keeps_state,
        log_to=str(lab.socket("log")),
    )
    name = haproxy_name(node)
    return LabHaproxy(lab.root / name, config, socket=lab.socket(name))


def daemon_settings(
    lab: Lab, *, fingerprint: str, keeps_state: bool, data: Mapping[str, Mapping[str, object]] | None = None
) -> str:
    """Return the text of the daemon's settings file; LabError where the folder cannot be trusted.

    *data* has the data services' endpoints, hooks and secrets.
    """
    more = data or {}
    owners, groups = trusted(lab.desired)
    write_alert_token(lab)
    names = [*map(haproxy_name, lab.haproxies)]
    edge: dict[str, object] = {"type": "haproxy", "sockets": [f"unix://{lab.socket(name)}" for name in names]}
    edge["log"] = f"unix://{lab.socket('log')}"
    if keeps_state:
        edge["serverStateFiles"] = [str(lab.root / name / "state") for name in names]
    settings = {
        "mode": "Enforce",
        "source": {"directory": str(lab.desired), "owners": owners, "groups": groups},
        "state": str(lab.state),
        "api": {"socket": str(lab.socket("api")), "listen": daemon_address(lab)},
        "endpoints": {
            "pve": {
                "type": "proxmox",
                "urls": [*node_urls(lab)],
                "tokenFile": str(lab.token),
                "fingerprint": fingerprint,
            },
            "edge": edge,
            **more.get("endpoints", {}),
        },
        "hooks": {**{name: _hook(lab, name) for name in HOOKS}, **more.get("hooks", {})},
        "secrets": more.get("secrets", {}),
        "alerts": {"tokenFile": str(lab.alert_token)},
    }
    text: str = yaml.safe_dump(settings, sort_keys=False)
    return "# Written by the lab: the daemon's settings.\n" + text


def _hook(lab: Lab, name: str) -> Mapping[str, object]:
    """Return a hook of the settings; `fault hook` has it in trouble.

    env may be run wherever the checkout lies, and marks what the hook leaves behind for `down`.
    """
    start = ["/usr/bin/env", f"{MARK}={lab.record.mark}", sys.executable, "-I", "-S", str(_HOOK)]
    # Nobody knows whether a build that was cut off has left something: a person decides.
    is_idempotent = name != "build"
    return {
        "argv": [*start, name, str(lab.hook_troubles)],
        "timeout": "20s",
        "idempotent": is_idempotent,
    }


def trusted(folder: Path) -> tuple[list[str], list[str]]:
    """Return the users who own *folder* and its parents, and the groups that write them.

    A lab is used by whoever owns the place where it lies; a place that everybody writes is refused.
    """
    owners, groups = set(), {grp.getgrgid(os.getgid()).gr_name}
    try:
        for _, found in directories_above(folder):
            if found.st_uid not in {0, os.geteuid()}:
                owners.add(pwd.getpwuid(found.st_uid).pw_name)
            if found.st_mode & stat.S_IWGRP and not found.st_mode & stat.S_ISVTX:
                groups.add(grp.getgrgid(found.st_gid).gr_name)
    except KeyError as exc:
        raise LabError(
            f"{folder}: a parent belongs to somebody unknown here ({exc}): choose another --dir"
        ) from None
    rules = Ownership.of(owners, groups)
    for path, found in directories_above(folder):
        if refusal := rules.refuse(path, found, parent=path != folder):
            raise LabError(f"{refusal}; or choose another --dir")
    return sorted(owners), sorted(groups)
