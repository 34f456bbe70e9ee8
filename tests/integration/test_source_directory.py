"""The real directory: what is read, what is ignored, what is refused, and when nothing can be concluded."""

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.ports import SystemClock
from daemon.sources.directory import Directory, Scan
from daemon.sources.nodes import LARGEST_FILE
from daemon.sources.ownership import Ownership, Refusal
from tests.builders_source import container_yaml, put

MINE = Ownership.of([], [])
NOBODY = 65534


class ShiftedClock(SystemClock):
    """The machine's clock, some seconds ahead."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "desired.d"
    root.mkdir(mode=0o755)
    put(root / "a.yaml", container_yaml())
    return root


@pytest.fixture
def as_somebody_else() -> Iterator[Path]:
    """Give a folder that everybody can enter; root becomes nobody for the test, since nothing stops root."""
    folder = Path(tempfile.mkdtemp(prefix="psa-source-"))
    folder.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    yield folder
    if root:
        os.seteuid(0)
        os.setegid(0)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700)
    shutil.rmtree(folder)


def scan(root: Path, ownership: Ownership | None = None) -> Scan:
    return Directory(root, SystemClock(), ownership).scan_now({})


def names(found: Scan) -> list[str]:
    assert found.unreadable is None
    return [file.path for file in found.files]


def test_yaml_files_are_found_in_all_folders(root: Path) -> None:
    put(root / "b.yml", container_yaml())
    put(root / "team" / "deep" / "c.yaml", container_yaml())
    assert names(scan(root)) == ["a.yaml", "b.yml", "team/deep/c.yaml"]


DROPPINGS = [
    ".a.yaml.swp", ".hidden.yaml", "a.yaml~", "#a.yaml#", ".#a.yaml", "a.yaml.bak", "a.yaml.tmp", "4913",
    "a.yaml.orig", "a.yaml-bak", "a.yaml.dpkg-new", "a.yaml.rpmnew", "notes.txt", "~.yaml~",
    ".git/config.yaml", "lost+found/x.yaml",
]  # fmt: skip


@pytest.mark.parametrize("dropping", DROPPINGS)
def test_editor_droppings_and_other_files_are_ignored(root: Path, dropping: str) -> None:
    (root / dropping).parent.mkdir(exist_ok=True)
    (root / dropping).write_text("not: [yaml")
    assert names(scan(root)) == ["a.yaml"]


def test_a_fifo_a_socket_and_a_device_are_ignored_without_hanging(root: Path) -> None:
    os.mkfifo(root / "fifo.yaml")
    (root / "fifo-link.yaml").symlink_to("fifo.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.yaml"))
        (root / "null.yaml").symlink_to("/dev/null")
        found = Directory(root, ShiftedClock(10.0)).scan_now({})
    assert (names(found), found.refused, found.unsettled) == (["a.yaml"], (), frozenset())


def test_a_link_inside_the_directory_is_followed_and_counts_once(root: Path) -> None:
    put(root / ".store" / "b.yaml", container_yaml())
    (root / "b.yaml").symlink_to(".store/b.yaml")
    (root / "again.yaml").symlink_to("a.yaml")
    assert names(scan(root)) == ["a.yaml", "b.yaml"]


def test_a_link_out_of_the_directory_is_refused(root: Path) -> None:
    put(root.parent / "outside.yaml", container_yaml())
    (root / "b.yaml").symlink_to("../outside.yaml")
    found = scan(root)
    assert names(found) == ["a.yaml"]
    assert [(file.path, file.message) for file in found.refused] == [
        ("b.yaml", f"the link leads to {root.parent}/outside.yaml")
    ]


def test_a_link_to_a_folder_outside_makes_all_unreadable(root: Path) -> None:
    (root.parent / "outside").mkdir()
    (root / "team").symlink_to("../outside")
    assert scan(root).unreadable == (
        f"{root}/team leads to {root.parent}/outside: only links inside {root} are followed"
    )


def test_a_link_to_nothing_is_refused_and_an_editors_lock_is_not_seen(root: Path) -> None:
    (root / "b.yaml").symlink_to("gone.yaml")
    (root / ".#a.yaml").symlink_to("user@host.1234")
    (root / "loop.yaml").symlink_to("loop.yaml")
    assert [file.path for file in scan(root).refused] == ["b.yaml", "loop.yaml"]


def test_folders_that_link_to_each_other_end(root: Path) -> None:
    (root / "team").mkdir()
    (root / "team" / "up").symlink_to("..")
    (root / "self").symlink_to(".")
    assert names(scan(root)) == ["a.yaml"]


def test_a_swapped_data_link_changes_all_files_at_once(root: Path) -> None:
    """How Kubernetes updates a mounted ConfigMap."""
    (root / "a.yaml").unlink()
    for version in ("..v1", "..v2"):
        put(root / version / "a.yaml", container_yaml(ctid=100 if version == "..v1" else 200))
        put(root / version / "team" / "b.yaml", container_yaml("psa-crm"))
    (root / "..data").symlink_to("..v1")
    (root / "a.yaml").symlink_to("..data/a.yaml")
    (root / "team").symlink_to("..data/team")
    before = scan(root)
    (root / "..data.new").symlink_to("..v2")
    (root / "..data.new").rename(root / "..data")
    after = scan(root)
    assert names(before) == names(after) == ["a.yaml", "team/b.yaml"]
    assert before.files[0].digest != after.files[0].digest
    assert before.files[1].digest == after.files[1].digest


def test_the_directory_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "current"
    link.symlink_to("desired.d")
    assert names(scan(link)) == ["a.yaml"]


def test_a_file_of_10_mb_is_refused_unread(root: Path) -> None:
    with (root / "big.yaml").open("wb") as file:
        file.truncate(10_000_000)
    (root / "fits.yaml").write_bytes(b"#" * (LARGEST_FILE - 1) + b"\n")
    found = scan(root)
    assert names(found) == ["a.yaml", "fits.yaml"]
    assert found.refused[0].message == "the file has 10000000 bytes: at most 262144 (256 KiB) are read"


def test_a_name_that_cannot_be_printed_is_refused(root: Path) -> None:
    (root / "b\x1b[31m.yaml").write_text("a: 1\n")
    (root / os.fsdecode(b"c\xff.yaml")).write_text("a: 1\n")
    found = scan(root)
    assert [file.path.isprintable() for file in found.refused] == [True, True]
    assert names(found) == ["a.yaml"]


@pytest.mark.parametrize("text", [container_yaml()[:-20], "", "cores: 1"])
def test_a_young_file_without_a_last_newline_is_taken_for_half_written(root: Path, text: str) -> None:
    (root / "b.yaml").write_text(text)
    assert scan(root).unsettled == {"b.yaml"}
    later = Directory(root, ShiftedClock(2.0)).scan_now({})
    assert later.unsettled == frozenset()
    assert names(later) == ["a.yaml", "b.yaml"]


class Meddler(SystemClock):
    """A clock that does something to the directory when a file has just been read."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle

    def now(self) -> datetime:
        self.meddle()
        return datetime.now(UTC) + timedelta(seconds=10)


def test_what_changes_between_reading_and_looking_again_is_not_settled(root: Path) -> None:
    def grow() -> None:
        with (root / "a.yaml").open("a") as file:
            file.write("  memory: 4Gi\n")

    assert Directory(root, Meddler(grow)).scan_now({}).unsettled == {"a.yaml"}


def test_what_comes_or_goes_meanwhile_is_not_settled(root: Path) -> None:
    new, old = root / "new.yaml", root / "a.yaml"
    assert Directory(root, Meddler(lambda: new.write_text("a: 1\n"))).scan_now({}).unsettled == {"new.yaml"}
    found = Directory(root, Meddler(lambda: old.unlink(missing_ok=True))).scan_now({})
    assert found.unsettled == {"a.yaml"}


def test_a_directory_that_is_replaced_meanwhile_is_not_settled(root: Path) -> None:
    def replace() -> None:
        if not root.with_name("old").exists():
            root.rename(root.with_name("old"))
            shutil.copytree(root.with_name("old"), root)

    assert Directory(root, Meddler(replace)).scan_now({}) == Scan(unsettled=frozenset({str(root)}))


def test_a_file_whose_content_is_known_is_not_handed_over_again(root: Path) -> None:
    directory = Directory(root, ShiftedClock(10.0))
    (first,) = directory.scan_now({}).files
    (second,) = directory.scan_now({"a.yaml": first.digest}).files
    assert (second.digest, second.data) == (first.digest, None)
    (third,) = directory.scan_now({}).files
    assert third.data == first.data


@pytest.mark.parametrize(("ahead_s", "reads"), [(0.0, 2), (10.0, 1)], ids=["young", "old"])
def test_only_an_old_file_is_believed_by_its_time_stamps(root: Path, ahead_s: float, reads: int) -> None:
    """Two writes within one tick of the file system's clock leave the same time stamps behind."""

    class CountingClock(ShiftedClock):
        """Counts the files that are read, for whose age the time is asked."""

        asked = 0

        def now(self) -> datetime:
            self.asked += 1
            return super().now()

    clock = CountingClock(ahead_s)
    directory = Directory(root, clock)
    (found,) = directory.scan_now({}).files
    directory.scan_now({"a.yaml": found.digest})
    assert clock.asked == reads


def test_a_missing_directory_is_unreadable(tmp_path: Path) -> None:
    assert scan(tmp_path / "gone").unreadable == f"{tmp_path}/gone does not exist"
    assert scan(tmp_path / "gone", MINE).unreadable == f"{tmp_path}/gone does not exist"


def test_an_empty_directory_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    assert scan(tmp_path).unreadable == (
        f"{tmp_path} holds no *.yaml or *.yml file: an empty directory says nothing"
    )


def test_a_file_in_the_place_of_the_directory_is_unreadable(root: Path) -> None:
    assert scan(root / "a.yaml").unreadable == f"{root}/a.yaml is not a directory"


def test_folders_without_end_are_unreadable(root: Path) -> None:
    put(root.joinpath(*["deep"] * 17) / "a.yaml", container_yaml())
    assert "lies more than 16 levels below" in str(scan(root).unreadable)


def test_a_file_that_the_daemon_may_not_read_is_refused(as_somebody_else: Path) -> None:
    put(as_somebody_else / "a.yaml", container_yaml())
    put(as_somebody_else / "b.yaml", container_yaml())
    (as_somebody_else / "b.yaml").chmod(0o000)
    found = scan(as_somebody_else)
    assert names(found) == ["a.yaml"]
    assert found.refused[0].message == "the file cannot be read: Permission denied"
    assert found.refused[0].notes == (f"to put it right: chmod a+r {as_somebody_else}/b.yaml",)


@pytest.mark.parametrize("mode", [0o000, 0o600])
def test_a_directory_that_the_daemon_may_not_read_is_unreadable(as_somebody_else: Path, mode: int) -> None:
    root = as_somebody_else / "desired.d"
    put(root / "a.yaml", container_yaml())
    root.chmod(mode)
    assert scan(root).unreadable is not None
    assert "Permission denied" in str(scan(root).unreadable)


def test_a_folder_that_the_daemon_may_not_read_makes_all_unreadable(as_somebody_else: Path) -> None:
    put(as_somebody_else / "a.yaml", container_yaml())
    put(as_somebody_else / "team" / "b.yaml", container_yaml())
    (as_somebody_else / "team").chmod(0o000)
    assert scan(as_somebody_else).unreadable == f"{as_somebody_else}/team cannot be read: Permission denied"


def test_what_only_the_daemon_and_root_can_write_is_trusted(root: Path) -> None:
    assert names(scan(root, MINE)) == ["a.yaml"]


@pytest.mark.parametrize(("mode", "who", "fix"), [(0o666, "its group", "go-w"), (0o646, "everybody", "o-w")])
def test_a_file_that_others_can_write_is_refused(root: Path, mode: int, who: str, fix: str) -> None:
    put(root / "b.yaml", container_yaml())
    (root / "b.yaml").chmod(mode)
    found = scan(root, MINE)
    assert names(found) == ["a.yaml"]
    assert f"{root}/b.yaml can be written by {who}" in found.refused[0].message
    assert found.refused[0].notes == (f"to put it right: chmod {fix} {root}/b.yaml",)
    assert names(scan(root)) == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize("place", ["desired.d", "desired.d/team", "."])
def test_a_directory_that_others_can_write_makes_all_unreadable(root: Path, place: str) -> None:
    put(root / "team" / "b.yaml", container_yaml())
    writable = (root.parent / place).resolve()
    writable.chmod(0o777)
    assert f"chmod go-w {writable}" in str(scan(root, MINE).unreadable)
    assert scan(root).unreadable is None


def test_a_hidden_folder_behind_a_link_is_checked_too(root: Path) -> None:
    put(root / ".store" / "b.yaml", container_yaml())
    (root / "b.yaml").symlink_to(".store/b.yaml")
    (root / ".store").chmod(0o777)
    assert f"chmod go-w {root}/.store" in str(scan(root, MINE).unreadable)


def test_a_sticky_parent_for_everybody_is_trusted(root: Path) -> None:
    root.parent.chmod(0o1777)
    assert names(scan(root, MINE)) == ["a.yaml"]


def test_a_strangers_file_and_directory_are_refused(as_somebody_else: Path) -> None:
    put(as_somebody_else / "a.yaml", container_yaml())
    only_others = Ownership(frozenset({0, 12_345}), frozenset())
    refused = str(scan(as_somebody_else, only_others).unreadable)
    assert refused.startswith(f"{as_somebody_else} belongs to ")
    assert refused.endswith(f"to put it right: chown root {as_somebody_else}")


class Stale(Ownership):
    """A file server that was set up anew while we looked."""

    def refuse(self, path: Path, found: os.stat_result, *, parent: bool = False) -> Refusal | None:
        if path.name == "services":
            raise OSError(errno.ESTALE, "Stale file handle")
        return super().refuse(path, found, parent=parent)


def test_an_error_that_nobody_thought_of_says_nothing_of_any_file(root: Path) -> None:
    (root / "services").mkdir(mode=0o755)
    found = scan(root, Stale(MINE.owners, MINE.groups))
    assert (found.unreadable, found.files) == (f"{root} cannot be read: Stale file handle", ())
