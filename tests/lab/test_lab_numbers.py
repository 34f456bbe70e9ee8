import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lab.numbers import NoNumberError, is_taken, listening_numbers, lock_folder, take_number


def test_two_labs_get_two_numbers(tmp_path: Path) -> None:
    first = take_number(tmp_path, owner=tmp_path)
    second = take_number(tmp_path, owner=tmp_path)
    assert first.value != second.value
    first.release()
    second.release()


def test_a_number_stays_taken_while_any_process_has_the_lock_and_is_free_afterwards(tmp_path: Path) -> None:
    number = take_number(tmp_path, owner=tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[number.lock]
    ) as child:
        number.release()
        assert is_taken(tmp_path, number.value)
        child.kill()
        child.wait()
    assert not is_taken(tmp_path, number.value)
    again = take_number(tmp_path, owner=tmp_path, wanted=number.value)
    again.release()


def test_a_wanted_number_that_is_taken_is_refused_by_name(tmp_path: Path) -> None:
    number = take_number(tmp_path, owner=tmp_path)
    with pytest.raises(NoNumberError, match=f"number {number.value} is taken"):
        take_number(tmp_path, owner=tmp_path, wanted=number.value)
    number.release()


def test_a_number_whose_addresses_are_in_use_is_passed_over_though_its_lock_is_free(tmp_path: Path) -> None:
    probe = take_number(tmp_path, owner=tmp_path)
    probe.release()
    with socket.create_server((f"127.{probe.value}.3.4", 0)):
        other = take_number(tmp_path, owner=tmp_path)
        assert other.value != probe.value
        other.release()


def test_only_listening_sockets_on_loopback_count() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue\n"
        "   0: 0103077F:0BB8 00000000:0000 0A 00000000:00000000\n"  # 127.7.3.1 listens
        "   1: 0103087F:0BB8 0103077F:9999 01 00000000:00000000\n"  # 127.8.3.1 is connected
        "   2: 00000000:1F40 00000000:0000 0A 00000000:00000000\n"  # everywhere
    )
    assert listening_numbers(table) == {7}


def test_a_lock_folder_that_is_not_a_folder_of_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    monkeypatch.setenv("PSA_LAB_LOCKS", str(link))
    with pytest.raises(NoNumberError, match="must be a directory of uid"):
        lock_folder()
