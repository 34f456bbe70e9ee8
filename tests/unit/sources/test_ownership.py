"""Who may write the directory, its parents and its files."""

import grp
import os
import pwd
import stat
from pathlib import Path

import pytest

from daemon.sources.ownership import Ownership, directories_above

ME, STRANGER, STAFF = os.geteuid(), 12_345, 54_321
RULES = Ownership(frozenset({0, ME}), frozenset({STAFF}))


def a_stat(mode: int, *, uid: int = 0, gid: int = 0, kind: int = stat.S_IFDIR) -> os.stat_result:
    return os.stat_result((kind | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    "found",
    [
        a_stat(0o755),
        a_stat(0o700, uid=ME),
        a_stat(0o775, gid=STAFF),
        a_stat(0o644, kind=stat.S_IFREG),
        a_stat(0o664, gid=STAFF, kind=stat.S_IFREG),
    ],
)
def test_what_only_trusted_users_can_write_is_trusted(found: os.stat_result) -> None:
    assert RULES.refuse(Path("/d"), found) is None


@pytest.mark.parametrize(
    ("found", "message", "fix"),
    [
        (a_stat(0o775), f"can be written by its group ({grp.getgrgid(0).gr_name})", "chmod g-w '/etc/my d'"),
        (a_stat(0o757), "can be written by everybody", "chmod o-w '/etc/my d'"),
        (a_stat(0o777, gid=STAFF), "can be written by everybody", "chmod o-w '/etc/my d'"),
        (
            a_stat(0o777, gid=99_999),
            "can be written by its group and everybody (group 99999)",
            "chmod go-w '/etc/my d'",
        ),
        (a_stat(0o1777, gid=STAFF), "can be written by everybody", "chmod o-w '/etc/my d'"),
        (a_stat(0o755, uid=STRANGER), "belongs to user 12345, not to root", "chown root '/etc/my d'"),
        (
            a_stat(0o757, uid=STRANGER),
            "belongs to user 12345, not to root and can be written by everybody",
            "chown root '/etc/my d' && chmod o-w '/etc/my d'",
        ),
    ],
)
def test_what_others_can_write_is_refused_with_the_command_that_helps(
    found: os.stat_result, message: str, fix: str
) -> None:
    refusal = Ownership(frozenset({0}), RULES.groups).refuse(Path("/etc/my d"), found)
    assert refusal is not None
    assert (refusal.message, refusal.fix) == (f"/etc/my d {message}", fix)


def test_a_sticky_parent_may_be_writable_for_everybody() -> None:
    assert RULES.refuse(Path("/tmp"), a_stat(0o1777), parent=True) is None  # noqa: S108
    assert RULES.refuse(Path("/tmp"), a_stat(0o777), parent=True) is not None  # noqa: S108


def test_names_are_looked_up_and_the_daemons_user_is_always_trusted() -> None:
    user, group = pwd.getpwuid(1), grp.getgrgid(1)
    rules = Ownership.of([user.pw_name], [group.gr_name])
    assert rules == Ownership(frozenset({0, ME, 1}), frozenset({1}))


def test_an_unknown_name_is_said_by_its_setting() -> None:
    with pytest.raises(ValueError, match=r"source\.owners: there is no user 'nobody-at-all' on this machine"):
        Ownership.of(["nobody-at-all"], [])
    with pytest.raises(
        ValueError, match=r"source\.groups: there is no group 'no-such-group' on this machine"
    ):
        Ownership.of([], ["no-such-group"])


def test_every_directory_on_the_way_is_looked_at_behind_links_too(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one").symlink_to("../real")
    (tmp_path / "links" / "two").symlink_to("one/inner")
    seen = {path for path, _ in directories_above(tmp_path / "links" / "two")}
    assert {Path("/"), tmp_path, tmp_path / "links", tmp_path / "real"} <= seen
    assert tmp_path / "real" / "inner" not in seen


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="more than 40 links"):
        list(directories_above(tmp_path / "a"))
