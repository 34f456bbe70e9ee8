"""A machine of a test's own: this one's /usr, under a systemd in a container; the daemon is installed."""

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
UNIT: Final = "psa-reconciler"
SHARE: Final = "/srv/share"
CONFIG: Final = f"/etc/{UNIT}/config.yaml"
TOKEN: Final = "psa@pve!reconciler=01234567-89ab-cdef-0123-456789abcdef"
PYTHON: Final = str(Path(sys.executable).resolve())
_FOLDERS: Final = (
    "usr",
    "etc",
    "var",
    "opt",
    "root",
    "home",
    "srv",
    "mnt",
    "tmp",
    "run",
    "proc",
    "sys",
    "dev",
)
#: What of the checkout is installed, or installs it.
_SOURCES: Final = (
    *("README.md", "LICENSE", "pyproject.toml", "uv.lock", "Makefile", "tools", "systemd"),
    *("crds", "daemon", "docs", "examples", "metrics", "reconcilers"),
)
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACE_S: Final = 0.05
#: How to reach the package registry is this machine's business.
_NETWORK: Final = ("UV_", "PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
#: As Debian 12 has it. On cgroup 1 a container's systemd does not hear of the end of a unit's last process.
_CGROUP_2: Final = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
_ENTER_CGROUPS: Final = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted container on this machine's network. ``init`` is its first process, as this machine counts."""

    folder: Path
    init: int

    @property
    def files(self) -> Path:
        """Its / as its processes see it now, /run among it."""
        return Path(f"/proc/{self.init}/root")

    @property
    def share(self) -> Path:
        """What it sees as SHARE."""
        return self.folder / "share"

    def run(
        self,
        *argv: str,
        check: bool = True,
        seconds: float = 100,
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as root."""
        found = _run_in(self.init, argv, seconds, environment or {})
        if check and found.returncode != 0:
            pytest.fail(
                f"{argv} ended with {found.returncode}:\n{found.stdout}{found.stderr}\n{self.journal()}"
            )
        return found

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Ask its systemd; return what was printed."""
        return self.run("systemctl", *arguments, check=check).stdout.strip()

    def show(self, name: str) -> str:
        """Return a property of the daemon's unit."""
        return self.systemctl("show", "--property", name, "--value", UNIT)

    def pid(self) -> int:
        """Return the daemon's process id inside; 0 if there is none."""
        return int(self.show("MainPID"))

    def journal(self, lines: int = 60) -> str:
        """Return what the unit said last."""
        argv = ["journalctl", "--unit", UNIT, "--output", "short-monotonic", "--lines", str(lines)]
        return self.run(*argv, check=False).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write one of its files, whole, as root."""
        target = self.files / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.new")
        draft.write_text(text)
        draft.chmod(mode)
        draft.replace(target)

    def configure(self, text: str) -> None:
        """Write the daemon's settings, and a token."""
        self.write(CONFIG, text)
        self.write(f"/etc/{UNIT}/credentials/pve.token", f"{TOKEN}\n", 0o600)

    def wait(self, what: str, so: Callable[[], bool], seconds: float = 30) -> float:
        """Wait until it is so; return after how many seconds, or fail with the journal."""
        began = time.monotonic()
        while not so():
            if time.monotonic() - began > seconds:
                pytest.fail(f"waited {seconds:g} s for {what}, in vain\n{self.journal()}")
            time.sleep(_PACE_S)
        return time.monotonic() - began

    def is_active(self) -> bool:
        """Whether systemd takes the daemon for ready."""
        return self.show("ActiveState") == "active"


@contextlib.contextmanager
def machines() -> Iterator[Machine]:
    """Boot a machine without the daemon, and end it. It takes one to two seconds."""
    with tempfile.TemporaryDirectory(prefix="psa-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _lay_out(folder)
        called = f"psa-test-{secrets.token_hex(4)}"
        with _cgroups(called) as cgroups, (folder / "boot.log").open("wb") as log:
            command = _command(folder, called)
            argv = ["/bin/sh", "-c", _ENTER_CGROUPS, "sh", *map(str, cgroups), "--", *command]
            container = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **_CGROUP_2}
            )
            try:
                yield Machine(folder, _booted(container, folder))
            finally:
                _end(container)


def install(machine: Machine, *targets: str) -> str:
    """Install the checkout as the documents say (or make *targets*); return what was said."""
    make = ("make", "-C", "/src", "--no-print-directory", *(targets or ("install",)))
    return machine.run(*make, environment=_environment(machine)).stdout


def _lay_out(folder: Path) -> None:
    """Make the root of a Debian whose /usr is this machine's, and a place for what is installed locally."""
    root = folder / "root"
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "sbin", "share"):
        (folder / "local" / name).mkdir(parents=True)
    (folder / "share").mkdir()
    _copy_checkout(folder / "src")
    for link in (each for each in Path("/").iterdir() if each.is_symlink()):
        if str(link.readlink()).startswith("usr/"):
            (root / link.name).symlink_to(link.readlink())
    etc = root / "etc"
    (etc / "machine-id").touch()
    (etc / "os-release").write_bytes(Path("/etc/os-release").read_bytes())
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n")
    ours = [line for line in Path("/etc/group").read_text().splitlines() if line.startswith("haproxy:")]
    (etc / "group").write_text("\n".join(["root:x:0:", "nogroup:x:65534:", *ours, ""]))
    presets = etc / "systemd/system-preset"
    presets.mkdir(parents=True)
    (presets / "00-nothing.preset").write_text("disable *\n")


def _copy_checkout(target: Path) -> None:
    """Copy what is installed: nothing else of the checkout is needed, and nobody changes it meanwhile."""
    target.mkdir()
    for name in _SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)


def _command(folder: Path, name: str) -> list[str]:
    bound = [each for each in ("/usr", "/etc/alternatives", "/etc/ssl") if Path(each).exists()]
    tools, found = ROOT / ".venv-tools", _uv_cache()
    bound += [f"{tools}:/src/.venv-tools"] if tools.is_dir() else []
    # Where systemd runs this machine too, the container gets a scope of its own from it.
    unit = [] if Path("/run/systemd/system").is_dir() else ["--keep-unit"]
    return [
        *["systemd-nspawn", "--quiet", f"--directory={folder}/root", f"--machine={name}"],
        *["--register=no", *unit, f"--bind={folder}/src:/src", *(f"--bind-ro={each}" for each in bound)],
        *[f"--bind={folder}/local:/usr/local", f"--bind={folder}/share:{SHARE}"],
        *([f"--bind={found}:/var/cache/uv"] if found is not None else []),
        *["--boot", "systemd.firstboot=off"],
    ]


def _uv_cache() -> Path | None:
    """Return where the set-up left the packages of the lock: they need not be fetched again."""
    uv = ROOT / ".venv-tools/bin/uv"
    if not uv.exists():
        return None
    said = subprocess.run([str(uv), "cache", "dir"], capture_output=True, text=True, check=True, cwd=ROOT)
    found = Path(said.stdout.strip())
    return found if found.is_dir() else None


def _environment(machine: Machine) -> Mapping[str, str]:
    has_cache = (machine.files / "var/cache/uv").is_dir()
    ours = {name: value for name, value in os.environ.items() if name.upper().startswith(_NETWORK)}
    return {"PYTHON": PYTHON, **ours, **({"UV_CACHE_DIR": "/var/cache/uv"} if has_cache else {})}


def _run_in(
    init: int, argv: tuple[str, ...], seconds: float, environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    enter = ["nsenter", f"--target={init}", *["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]]
    clean = ["env", "-i", f"PATH={_PATH}", "HOME=/root", "LANG=C.UTF-8"]
    variables = [f"{name}={value}" for name, value in environment.items()]
    return subprocess.run(
        [*enter, "--root", "--wd=/", "--", *clean, *variables, *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def _booted(container: "subprocess.Popen[bytes]", folder: Path) -> int:
    """Wait until its systemd has started everything; return its first process."""
    deadline = time.monotonic() + 30
    said = "nothing"
    while time.monotonic() < deadline and container.poll() is None:
        init = next(iter(_children(container.pid)), None)
        if init is not None and Path(f"/proc/{init}/root/run/systemd/private").exists():
            said = _run_in(init, ("systemctl", "is-system-running"), 10, {}).stdout.strip()
            if said in {"running", "degraded"}:
                return init
        time.sleep(_PACE_S)
    log = (folder / "boot.log").read_text("utf-8", "replace")
    pytest.fail(
        "This machine cannot boot a systemd in a container, so the unit was never started. "
        f"The state was {said}, the exit status {container.poll()}; systemd-nspawn said:\n{log}"
    )


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                yield int(entry.name)


def _end(container: "subprocess.Popen[bytes]") -> None:
    """Let it shut down; kill it where it takes too long, and with its first process all of it."""
    inits = [*_children(container.pid)]
    container.terminate()
    try:
        container.wait(20)
    except subprocess.TimeoutExpired:
        for pid in inits:
            os.kill(pid, signal.SIGKILL)
        container.kill()
        container.wait(10)


@contextlib.contextmanager
def _cgroups(name: str) -> Iterator[list[Path]]:
    """Give one of its own in each hierarchy that systemd uses: two containers would share one otherwise."""
    made: list[Path] = []
    if not Path("/run/systemd/system").is_dir():
        top = Path("/sys/fs/cgroup")
        homes = [each for each in (top, top / "systemd", top / "unified") if (each / "cgroup.procs").exists()]
        made = [home / name for home in homes]
    for folder in made:
        folder.mkdir()
    try:
        yield made
    finally:
        for folder in made:
            _remove_cgroup(folder)


def _remove_cgroup(folder: Path) -> None:
    """Remove an empty cgroup; its processes may be dying still."""
    below = (path for path in folder.rglob("*") if path.is_dir())
    deadline = time.monotonic() + 10
    for path in itertools.chain(sorted(below, reverse=True), [folder]):
        while path.exists():
            try:
                path.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PACE_S)
