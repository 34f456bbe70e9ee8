"""What each colour of each service runs, and what HAProxy gives it."""

from collections.abc import Mapping, Sequence

from lab.layout import Lab
from lab.sight import SeenServer, Sight
from lab.slots import Slot, read_services, slots_of


def colors_of(lab: Lab, sites: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
    """Return a row a slot of the services in the watched directory, as JSON data.

    ``version`` is None where no container runs. ``traffic`` has a weight and a state for each HAProxy node,
    None for one that does not answer, and is empty for a service behind the entry.
    """
    running = {site["ctid"]: site["version"] for site in sites}
    slots = slots_of(read_services(lab.desired)).values()
    seen = {name: _servers(lab, name) for name in {slot.backend for slot in slots} if name is not None}
    return [
        {
            "service": slot.service,
            "color": slot.color.value,
            "ctid": slot.ctid,
            "version": running.get(slot.ctid),
            "traffic": [_shown(servers.get(slot.server)) for servers in seen.get(slot.backend or "", ())],
        }
        for slot in sorted(slots, key=_by_name)
    ]


def _servers(lab: Lab, backend: str) -> Sequence[Mapping[str, SeenServer]]:
    sight, found = Sight(lab), []
    for node in lab.haproxies:
        try:
            found.append(sight.servers(backend, node))
        except OSError:
            found.append({})
    return found


def _shown(server: SeenServer | None) -> Mapping[str, object] | None:
    return {"weight": server.weight, "state": server.state} if server is not None else None


def _by_name(slot: Slot) -> tuple[str, str]:
    return slot.service, slot.color.value
