"""What a colleague does on Proxmox without a file: a container that carries no stamp of ours."""

import json
import ssl
import urllib.parse
import urllib.request
from typing import Final

from lab.layout import Lab

OLD_REDIS: Final = 150, "old-redis"
"""Container id and host name of the one that the documents adopt."""
_NODE: Final = "pve1"


def create_by_hand(lab: Lab, ctid: int, hostname: str) -> None:
    """Make a container through Proxmox's own interface; OSError if it does not answer or refuses."""
    token = lab.token.read_text().strip()
    asked = {
        "vmid": ctid,
        "ostemplate": "local:vztmpl/psa-redis_7_amd64.tar.zst",
        "hostname": hostname,
        "unprivileged": 1,
        "rootfs": "local:4",
        "memory": 512,
    }
    request = urllib.request.Request(
        f"https://{lab.address('10.11')}:8006/api2/json/nodes/{_NODE}/lxc",
        urllib.parse.urlencode(asked).encode(),
        {"Authorization": f"PVEAPIToken={token}"},
    )
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # its own certificate, on loopback
    with urllib.request.urlopen(request, context=trusting, timeout=10) as answer:  # noqa: S310
        json.load(answer)
