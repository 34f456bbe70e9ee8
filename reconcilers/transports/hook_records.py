"""What is kept of each run on disk: a record before it begins, its result before anybody is told."""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from reconcilers.hook_runs import HookResult, HookState

_MOST: Final = 500
_LONGEST: Final = timedelta(days=30)
_RECORD: Final = ".json"
_OUTPUT: Final = ".log"
_DRAFT: Final = ".draft-"


@dataclass(frozen=True, slots=True)
class HookRecord:
    """One run: ``mark`` is what its processes carry, ``result`` is RUNNING until it has ended."""

    run_id: str
    mark: str
    written_at: datetime | None
    result: HookResult


_FORM: Final = TypeAdapter(HookRecord)


class HookRecords:
    """Records of runs, a file each, in one directory. Run ids are file names: who asks has checked them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def prepare(self) -> None:
        """Make the directory, ours alone, without what a crash left half written; raise OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for draft in self.directory.glob(f"{_DRAFT}*"):
            draft.unlink()

    def read(self, run_id: str) -> HookRecord | None:
        """Return the record of a run, None if there is none; raise OSError.

        Of one that cannot be understood only its name is known: how that run ended is not.
        """
        path = self._path(run_id, _RECORD)
        try:
            return _FORM.validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            result = HookResult("unknown", HookState.LOST, "its record cannot be understood")
            return HookRecord(run_id, "", None, result)

    def open_runs(self) -> tuple[HookRecord, ...]:
        """Return the runs that had not ended when their record was last written."""
        records = (self.read(path.stem) for path in self._by_age())
        return tuple(each for each in records if each is not None and each.result.state is HookState.RUNNING)

    def write(self, record: HookRecord, output: str | None = None) -> None:
        """Write it durably and whole, its output first; raise OSError where that cannot be."""
        if output is not None:
            self._replace(self._path(record.run_id, _OUTPUT), output.encode())
        self._replace(self._path(record.run_id, _RECORD), _FORM.dump_json(record, indent=1) + b"\n")
        folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def forget(self, run_id: str) -> None:
        """Remove a run that never began."""
        for kind in (_RECORD, _OUTPUT):
            with contextlib.suppress(OSError):
                self._path(run_id, kind).unlink(missing_ok=True)

    def trim(self, now: datetime) -> None:
        """Remove ended runs that are too old or too many; the newest 500 of the last 30 days stay."""
        limit = (now - _LONGEST).timestamp()
        paths = self._by_age()
        for place, path in enumerate(paths):
            with contextlib.suppress(OSError):
                is_old = path.stat().st_mtime < limit
                record = self.read(path.stem) if is_old or place < len(paths) - _MOST else None
                if record is not None and record.result.is_over:
                    self.forget(path.stem)

    def _by_age(self) -> list[Path]:
        """Return the files of records, the oldest first."""
        found = []
        for path in self.directory.glob(f"*{_RECORD}"):
            with contextlib.suppress(OSError):  # removed in the meantime
                found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found)]

    def _path(self, run_id: str, kind: str) -> Path:
        return self.directory / f"{run_id}{kind}"

    def _replace(self, path: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(prefix=_DRAFT, dir=self.directory)
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
