"""What happened between the recorded requests, and the worlds in which the recordings begin.

Keys are line numbers of the recording: the event comes before the first request at or after that line.
Sources are the recording's own remarks (``$ pve1: …``, ``## …``, ``+0s GET …``) and, where it says
nothing, the next answers.
"""

import argparse
import copy
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lab.pve import disks, playback
from lab.pve.cluster import PveCluster
from lab.pve.faults import (
    DaemonGone,
    Fault,
    Flock,
    LoseTask,
    NodeBlackhole,
    NodeDown,
    NoQuorum,
    PmxcfsDown,
    ProxyGone,
)
from lab.pve.message import Request
from lab.pve.playback import START, TIME_SCALE, Event, Player, Report
from lab.pve.state import Container, Volume

TEMPLATE: Final = "debian-12-min_12.0-1_amd64.tar.zst"
NET0: Final = "name=eth0,bridge=vmbr0,gw=10.77.0.1,hwaddr=BC:24:11:A5:DA:6C,ip=10.77.0.101/24,type=veth"


def both(*events: Event) -> Event:
    def happen(player: Player) -> None:
        for event in events:
            event(player)

    return happen


def token(name: str, *, privsep: bool) -> Event:
    def happen(player: Player) -> None:
        player.cluster.add_token("rec@pve", name, playback.SECRET, privsep=privsep)

    return happen


def unlock(vmid: int) -> Event:
    return lambda player: player.cluster.unlock(vmid)


def fault(wanted: Fault) -> Event:
    return lambda player: _put(player, wanted)


def _put(player: Player, wanted: Fault) -> None:
    player.cluster.add_fault(wanted, player.now)


def repaired(player: Player) -> None:
    player.cluster.clear_faults(player.now)


def later(seconds: float) -> Event:
    """Time that passes without a task to tell it."""

    def happen(player: Player) -> None:
        player.now += seconds
        player.cluster.advance(player.now)

    return happen


def moved(vmid: int, node: str, *, running: bool) -> Event:
    """Bring it there, as a migration (not simulated) or the HA manager did."""

    def happen(player: Player) -> None:
        container = player.cluster.container(vmid)
        if container is None:
            return  # the next answers tell
        for volume in player.cluster.world.volumes:
            if volume.vmid == vmid and volume.node:
                volume.node = node
        container.node = node
        container.started_at = player.now if running else None
        container.pid = 295 if running else 0

    return happen


def managed(vmid: int, state: str, group: str = "") -> Event:
    """Return the HA endpoints are not simulated, what they do to a container is."""

    def happen(player: Player) -> None:
        container = player.cluster.container(vmid)
        if container is None:
            return  # the next answers tell
        container.ha_state, container.ha_group = state, group

    return happen


def restored(vmid: int, source: int, disk: int) -> Event:
    """Restore it (not simulated): the configuration of the source with a new disk."""

    def happen(player: Player) -> None:
        world = player.cluster.world
        original = world.containers[source]
        container = Container(vmid, original.node, copy.copy(original.config), ostemplate=original.ostemplate)
        container.config.pop("parent", None)
        size = disks.size_of_root(original)
        volid = f"local:{vmid}/vm-{vmid}-disk-{disk}.raw"
        world.volumes.append(
            Volume(volid, "local", original.node, "rootdir", "raw", size, int(player.now), vmid)
        )
        container.config["rootfs"] = f"{volid},size={disks.printed(size)}"
        world.containers[vmid] = container

    return happen


def created(vmid: int) -> Event:
    """Create it with a JSON body, which the recorder did not write down as a request."""

    def happen(player: Player) -> None:
        root = player.cluster.log_in("root@pam", player.now)
        params: dict[str, str | int | bool] = {
            "vmid": vmid,
            "ostemplate": f"local:vztmpl/{TEMPLATE}",
            "rootfs": "local:0.2",
            "memory": 32,
            "hostname": "js",
            "unprivileged": True,
            "onboot": False,
        }
        player.cluster.handle(Request("POST", "/nodes/pve1/lxc", params, root), player.now)

    return happen


EVENTS_8_4: Final = MappingProxyType({
    35: token("t0", privsep=False),
    111: token("t2", privsep=True),
    261: unlock(104),
    700: both(later(5), moved(130, "pve1", running=False)),  # shut down by the failed migration
    763: managed(130, "started", "g1"),  # HA requests of the lines 722 to 740
    770: both(moved(131, "pve2", running=False), later(5), moved(131, "pve2", running=True)),
    779: moved(131, "pve3", running=False),
    782: moved(128, "pve2", running=False),
    807: moved(130, "pve1", running=True),  # the HA manager started it
    830: moved(130, "pve3", running=True),  # migrated, then relocated
    839: both(fault(NodeDown("pve3")), moved(130, "pve1", running=True), later(60)),  # fenced after 155 s
    873: repaired,
    876: fault(NoQuorum()),
    919: repaired,
    921: fault(PmxcfsDown("pve2")),
    930: repaired,
    938: fault(ProxyGone("pve2")),
    941: fault(DaemonGone("pve2")),
    946: both(repaired, fault(NodeBlackhole("pve2"))),
    949: repaired,
    1245: restored(140, 110, 1),
    1494: fault(LoseTask("vzcreate")),  # kill -9 of the worker
    1496: later(1),
    1505: unlock(171),
    1611: fault(Flock(174)),  # ## lock contention
    1613: repaired,
    1847: both(created(173), later(2)),
})  # fmt: skip
EVENTS_9_2: Final = MappingProxyType({
    105: both(managed(102, "request_stop"), managed(101, "request_stop")),  # HA: lines 59 to 71
    115: later(5),  # pvestatd's period ends here by chance
    161: both(managed(101, ""), moved(101, "pve1", running=False)),  # by the HA manager
})  # fmt: skip


def world_8_4() -> Player:
    """Three nodes, one container that has run for a while."""
    cluster = PveCluster(version="8.4", start=START, time_scale=TIME_SCALE)
    cluster.add_template("local", TEMPLATE)
    cluster.world.storages["shared"].content = ["vztmpl", "rootdir", "backup"]
    gib = disks.UNITS["G"]
    volume = Volume("local:101/vm-101-disk-0.raw", "local", "pve1", "rootdir", "raw", gib, int(START), 101)
    cluster.world.volumes.append(volume)
    config = {
        "arch": "amd64",
        "cores": "1",
        "description": "line1\nline2 ü",
        "hostname": "ct101",
        "memory": "128",
        "net0": NET0,
        "ostype": "debian",
        "rootfs": "local:101/vm-101-disk-0.raw,size=1G",
        "swap": "0",
        "tags": "a;b;c",
    }
    container = Container(
        101, "pve1", config, ostemplate=f"local:vztmpl/{TEMPLATE}", started_at=START - 104, pid=267
    )
    cluster.world.containers[101] = container
    return Player(cluster, START + 104, {})


def world_9_2() -> Player:
    """Three nodes, nothing else; ``shared`` is created by the recording."""
    cluster = PveCluster(version="9.2", start=START, time_scale=TIME_SCALE)
    del cluster.world.storages["shared"]
    cluster.world.storages["local"].content = ["vztmpl", "snippets", "rootdir", "images", "backup", "iso"]
    cluster.add_template("local", TEMPLATE)
    return Player(cluster, START, {})


def replay_file(path: Path) -> Report:
    """Replay ``recordings-8.4.txt`` or ``recordings-9.2.txt``."""
    if "8.4" in path.name:
        return playback.play("8.4", path, world_8_4(), EVENTS_8_4)
    return playback.play("9.2", path, world_9_2(), EVENTS_9_2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.pve.replay")
    parser.add_argument("file", type=Path)
    parser.add_argument("-v", "--verbose", action="store_true")
    given = parser.parse_args()
    report = replay_file(given.file)
    if given.verbose:
        for mismatch in report.mismatches:
            asked = mismatch.exchange
            print(f"{asked.line}: [{asked.who}] {asked.method} {asked.path} {asked.params}")
            print(f"    recorded {asked.status} {asked.reason!r}")
            print(f"    {mismatch.text[:1500]}")
    print(report)


if __name__ == "__main__":
    main()
