"""Records of runs on disk: whole or not there, trimmed by age and number, never while a run is open."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconcilers.hook_runs import HookResult, HookState
from reconcilers.transports.hook_records import HookRecord, HookRecords

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def records(tmp_path: Path) -> HookRecords:
    found = HookRecords(tmp_path / "state" / "hooks")
    found.prepare()
    return found


def a_record(run_id: str, state: HookState = HookState.PASSED) -> HookRecord:
    return HookRecord(
        run_id, f"mark-{run_id}", NOW, HookResult("unit", state, "passed in 1.0 s", seconds=1.0)
    )


def put(
    records: HookRecords, run_id: str, state: HookState = HookState.PASSED, *, days_old: float = 0
) -> None:
    records.write(a_record(run_id, state), "output\n")
    at = (NOW - timedelta(days=days_old)).timestamp()
    os.utime(records.directory / f"{run_id}.json", (at, at))


def test_a_record_is_read_as_it_was_written_and_only_we_can(records: HookRecords) -> None:
    put(records, "psa-suite.1.unit")

    assert records.read("psa-suite.1.unit") == a_record("psa-suite.1.unit")
    assert records.read("psa-suite.1") is None
    modes = {path.name: path.stat().st_mode & 0o777 for path in records.directory.iterdir()}
    assert modes == {"psa-suite.1.unit.json": 0o600, "psa-suite.1.unit.log": 0o600}
    assert records.directory.stat().st_mode & 0o777 == 0o700


def test_runs_that_had_not_ended_are_found(records: HookRecords) -> None:
    put(records, "a")
    put(records, "b", HookState.RUNNING)
    put(records, "c", HookState.LOST)

    assert [each.run_id for each in records.open_runs()] == ["b"]


def test_a_record_that_cannot_be_understood_is_a_run_whose_end_is_not_known(records: HookRecords) -> None:
    (records.directory / "a.json").write_text('{"run_id": "a"')

    found = records.read("a")

    assert found is not None
    assert found.result.state is HookState.LOST
    assert records.open_runs() == ()


def test_what_a_crash_left_half_written_is_removed_and_never_taken_for_a_record(records: HookRecords) -> None:
    put(records, "a")
    draft = records.directory / ".draft-xyz"
    draft.write_text("half")

    records.prepare()

    assert not draft.exists()
    assert records.read("a") is not None


def test_old_runs_are_removed_with_their_output(records: HookRecords) -> None:
    put(records, "old", days_old=31)
    put(records, "young", days_old=29)

    records.trim(NOW)

    assert sorted(path.name for path in records.directory.iterdir()) == ["young.json", "young.log"]


def test_the_newest_five_hundred_stay(records: HookRecords) -> None:
    put(records, "r0")
    text = (records.directory / "r0.json").read_bytes()
    for number in range(503):
        path = records.directory / f"r{number}.json"
        path.write_bytes(text)
        at = NOW.timestamp() - 1000 + number
        os.utime(path, (at, at))

    records.trim(NOW)

    assert len(list(records.directory.glob("*.json"))) == 500
    assert not (records.directory / "r2.json").exists()
    assert (records.directory / "r3.json").exists()


def test_a_run_that_has_not_ended_is_never_removed(records: HookRecords) -> None:
    put(records, "open", HookState.RUNNING, days_old=99)

    records.trim(NOW)

    assert records.read("open") is not None


def test_writing_fails_loudly_and_leaves_no_draft(records: HookRecords) -> None:
    (records.directory / "a.json").mkdir()

    with pytest.raises(IsADirectoryError):
        records.write(a_record("a"))

    assert [path.name for path in records.directory.iterdir()] == ["a.json"]
