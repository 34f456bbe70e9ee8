"""Values that SQLite does not take cost themselves only, never the commits that follow."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from crds.meta import Key
from daemon.store.database import PUT_VALUE, Database
from daemon.store.operations import Record
from daemon.store.store import Store
from tests.builders import START

KEY = Key("Elasticsearch", "psa-search")


class Inline:
    """Writes right here."""

    async def run(self, call: Callable[[], None]) -> None:
        call()

    def close(self) -> None:
        pass


async def test_half_a_surrogate_pair_of_somebodys_json_is_kept_as_a_question_mark(tmp_path: Path) -> None:
    store = Store(Database(tmp_path / "state.db"), Inline())
    await store.commit([Record(KEY, START, "Odd", "the cluster is called 'a\ud800b'")])
    await store.commit([Record(KEY, START, "Well", "another one")])

    again = Store(Database(tmp_path / "state.db"), Inline())
    assert [event.message for event in again.events(KEY)] == ["the cluster is called 'a?b'", "another one"]
    store.close()
    again.close()


def test_a_number_that_is_too_large_keeps_nothing_of_its_transaction_and_harms_no_other(
    tmp_path: Path,
) -> None:
    database = Database(tmp_path / "state.db")
    with pytest.raises(OverflowError):
        database.write([(PUT_VALUE, ("first", "of a bad one")), (PUT_VALUE, ("second", 2**70))])
    database.write([(PUT_VALUE, ("third", "of a good one"))])

    assert database.load().values == {"third": "of a good one"}
    database.close()


def test_nobody_else_reads_what_is_kept(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    database.write([])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    database.close()
    assert {0o600} == set(modes.values()), modes
