"""A simulated Proxmox VE cluster with a clock and root's hands, for the tests of the simulator."""

from collections.abc import Mapping

from lab.pve.cluster import PveCluster
from lab.pve.faults import Fault
from lab.pve.message import Auth, Json, ParamValue, Request, Response

START = 1_795_400_000.0
TEMPLATE = "debian-12-standard_12.7-1_amd64.tar.zst"
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
PMXCFS = "RPCEnvironment init request failed: Unable to load access control list: Connection refused"
NET0 = "name=eth0,bridge=vmbr0,ip=127.9.1.4/24"


class Site:
    """A cluster, a clock, and root's hands."""

    def __init__(self, version: str = "8.4") -> None:
        self.cluster = PveCluster(version=version, start=START)
        self.template = self.cluster.add_template("local", TEMPLATE)
        self.now = START
        self.root = self.cluster.log_in("root@pam", START)

    def ask(
        self,
        method: str,
        path: str,
        auth: Auth | None = None,
        via: str = "",
        given: Mapping[str, ParamValue] | None = None,
        **params: ParamValue,
    ) -> Response:
        request = Request(method, path, {**(given or {}), **params}, auth or self.root, via)
        return self.cluster.handle(request, self.now)

    def data(self, method: str, path: str, auth: Auth | None = None, **params: ParamValue) -> Json:
        answer = self.ask(method, path, auth, given=params)
        assert answer.status == 200, answer
        return answer.data

    def row(self, path: str, **params: ParamValue) -> dict[str, Json]:
        found = self.ask("GET", path, given=params).data
        assert isinstance(found, dict)
        return found

    def rows(self, path: str, auth: Auth | None = None, **params: ParamValue) -> list[dict[str, Json]]:
        found = self.ask("GET", path, auth, given=params).data
        assert isinstance(found, list)
        return [row for row in found if isinstance(row, dict)]

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def exit_of(self, answer: Response) -> Json:
        """Wait for the task of an answer; its exit status."""
        assert answer.status == 200, answer
        upid = str(answer.data)
        path = f"/nodes/{upid.split(':')[1]}/tasks/{upid}/status"
        for _ in range(100):
            status = self.row(path)
            if status["status"] == "stopped":
                return status["exitstatus"]
            self.wait(1)
        raise AssertionError(f"task {upid} does not end")

    def create(self, vmid: int = 101, node: str = "pve1", **params: ParamValue) -> Response:
        wanted: dict[str, ParamValue] = {"ostemplate": self.template, "rootfs": "local:1", "net0": NET0}
        return self.ask("POST", f"/nodes/{node}/lxc", given=wanted | params, vmid=vmid)

    def created(self, vmid: int = 101, **params: ParamValue) -> str:
        """A container that exists; its path."""
        assert self.exit_of(self.create(vmid, "pve1", **params)) == "OK"
        return f"/nodes/pve1/lxc/{vmid}"

    def started(self, vmid: int = 101, **params: ParamValue) -> str:
        return self.created(vmid, start=1, **params)

    def put(self, fault: Fault) -> int:
        return self.cluster.add_fault(fault, self.now)
