import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import proxmoxer
import pytest
import requests

ROOT = Path(__file__).parents[2]
DEADLINE_S = 10.0
SETUP = {
    "templates": [{"storage": "local", "name": "debian-12.tar.zst"}],
    "tokens": [
        {"user": "psa@pve", "name": "t", "secret": "s3cret", "privsep": False},
        {"user": "nobody@pve", "name": "t", "secret": "s3cret"},
    ],
    "acl": [{"who": "psa@pve", "path": "/", "role": "Administrator"}],
}


class UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Simulator:
    """The simulator's process on the addresses of one lab."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.hosts = [f"127.{number}.0.{10 + n}" for n in (1, 2)]
        self.port = _free_port(self.hosts)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [sys.executable, "-m", "lab.pve.server", "--state", str(self.folder / "pve.json")]
        argv += ["--control", str(self.folder / "pve.sock"), "--pid-file", str(self.folder / "pve.pid")]
        argv += ["--time-scale", "0.02"]
        argv += [part for host in self.hosts for part in ("--listen", f"{host}:{self.port}")]
        self.process = subprocess.Popen(argv, cwd=ROOT)
        wait_for(lambda: (self.folder / "pve.pid").exists() or self.process is None or self.process.poll())

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        (self.folder / "pve.pid").unlink(missing_ok=True)
        return code

    def control(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        connection = UnixConnection(self.folder / "pve.sock")
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return json.loads(text)
        finally:
            connection.close()

    def session(self, user: str = "psa@pve") -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.folder / "pve-cert.pem")
        session.headers["Authorization"] = f"PVEAPIToken={user}!t=s3cret"
        return session

    def get(self, path: str, user: str = "psa@pve", host: int = 0) -> requests.Response:
        with self.session(user) as session:
            return session.get(f"https://{self.hosts[host]}:{self.port}/api2/json{path}", timeout=DEADLINE_S)

    def api(self) -> Any:
        certificate = str(self.folder / "pve-cert.pem")
        return proxmoxer.ProxmoxAPI(
            self.hosts[0],
            port=self.port,
            user="psa@pve",
            token_name="t",
            token_value="s3cret",
            verify_ssl=certificate,
            timeout=DEADLINE_S,
        )


def _free_port(hosts: list[str]) -> int:
    with socket.create_server((hosts[0], 0)) as server:
        return int(server.getsockname()[1])


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def simulator(short_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    simulator = Simulator(short_path, number)
    simulator.start()
    simulator.control("POST", "/setup", SETUP)
    yield simulator
    if simulator.process is not None and simulator.process.poll() is None:
        simulator.stop()


def create(simulator: Simulator, vmid: int = 101) -> None:
    """A running container, made as the daemon makes it."""
    api = simulator.api()
    task = api.nodes("pve2").lxc.post(
        vmid=vmid,
        ostemplate="local:vztmpl/debian-12.tar.zst",
        hostname=f"ct{vmid}",
        net0="name=eth0,bridge=vmbr0,ip=127.9.1.4/24",
        start=1,
    )
    wait_for(lambda: api.nodes("pve2").tasks(task).status.get()["status"] == "stopped")
    assert api.nodes("pve2").tasks(task).status.get()["exitstatus"] == "OK"


def test_proxmoxer_drives_it_over_tls_with_a_token(simulator: Simulator) -> None:
    create(simulator)
    current = simulator.api().nodes("pve2").lxc(101).status.current.get()
    assert (current["status"], current["name"]) == ("running", "ct101")
    (running,) = simulator.control("GET", "/state")["running"]
    assert (running["vmid"], running["addresses"]) == (101, ["127.9.1.4"])


def test_errors_have_production_reason_phrases_and_close_the_connection(simulator: Simulator) -> None:
    answer = simulator.get("/nodes/pve1/lxc/999/config")
    text = "Configuration file 'nodes/pve1/lxc/999.conf' does not exist"
    assert (answer.status_code, answer.reason) == (500, text)
    assert answer.json() == {"data": None, "message": text + "\n"}
    assert answer.headers["Connection"] == "close"


def test_a_wrong_token_is_a_401_without_body_and_a_powerless_one_a_403(simulator: Simulator) -> None:
    unknown = simulator.get("/version", user="stranger@pve")
    assert (unknown.status_code, unknown.reason, unknown.content) == (401, "Authentication failed!", b"")
    powerless = simulator.get("/nodes/pve1/status", user="nobody@pve")
    assert powerless.reason == "Permission check failed (/nodes/pve1, Sys.Audit)"


def test_json_bodies_may_hold_booleans_and_forms_may_not(simulator: Simulator) -> None:
    create(simulator)
    url = f"https://{simulator.hosts[0]}:{simulator.port}/api2/json/nodes/pve2/lxc/101/config"
    with simulator.session() as session:
        assert session.put(url, json={"onboot": True}, timeout=DEADLINE_S).status_code == 200
        refused = session.put(url, data={"onboot": "True"}, timeout=DEADLINE_S)
    assert refused.json()["errors"] == {"onboot": "type check ('boolean') failed - got 'True'"}


def test_nothing_is_lost_by_kill_9(simulator: Simulator) -> None:
    create(simulator)
    before = simulator.control("GET", "/state")["containers"]
    simulator.stop(signal.SIGKILL)
    simulator.start()
    assert simulator.control("GET", "/state")["containers"] == before
    assert simulator.get("/nodes/pve2/lxc/101/config").json()["data"]["hostname"] == "ct101"


def test_sigterm_ends_it_cleanly(simulator: Simulator) -> None:
    assert simulator.stop(signal.SIGTERM) == 0
    assert not (simulator.folder / "pve.sock").exists()
    assert not os.path.lexists(simulator.folder / "pve.pid")


def test_who_waits_for_running_containers_hears_of_a_start_at_once(simulator: Simulator) -> None:
    version = simulator.control("GET", "/running?since=-1")["version"]
    create(simulator)
    heard = simulator.control("GET", f"/running?since={version}&timeout=5")
    assert [container["vmid"] for container in heard["running"]] == [101]
    simulator.control("POST", "/container/101/stop-by-hand", {})
    assert simulator.control("GET", f"/running?since={heard['version']}&timeout=5")["running"] == []


def test_a_fault_goes_on_and_off_through_the_control_socket(simulator: Simulator) -> None:
    number = simulator.control("POST", "/fault", {"kind": "no_quorum"})["number"]
    assert simulator.get("/cluster/status").json()["data"][0]["quorate"] == 0
    simulator.control("DELETE", f"/faults/{number}")
    assert simulator.get("/cluster/status").json()["data"][0]["quorate"] == 1


def test_the_port_of_a_dead_node_is_closed(simulator: Simulator) -> None:
    simulator.control("POST", "/fault", {"kind": "node_down", "node": "pve2"})
    with pytest.raises(requests.ConnectionError):
        simulator.get("/version", host=1)
    assert simulator.get("/nodes/pve2/status").status_code == 595
    simulator.control("DELETE", "/faults")
    assert simulator.get("/version", host=1).status_code == 200


def test_a_dropped_reply_is_a_closed_connection(simulator: Simulator) -> None:
    simulator.control("POST", "/fault", {"kind": "drop_reply", "path": "/version"})
    with pytest.raises(requests.ConnectionError):
        simulator.get("/version")


def test_the_log_tells_every_request(simulator: Simulator) -> None:
    simulator.get("/version")
    simulator.get("/nodes/pve1/lxc/999/config", host=1)
    log = simulator.control("GET", "/log")
    assert [(e["node"], e["method"], e["path"], e["user"], e["status"]) for e in log] == [
        ("pve1", "GET", "/version", "psa@pve!t", 200),
        ("pve2", "GET", "/nodes/pve1/lxc/999/config", "psa@pve!t", 500),
    ]
    assert simulator.control("GET", f"/log?since={log[-1]['number']}") == []
