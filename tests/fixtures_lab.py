"""Addresses and folders for labs and their parts; a conftest.py imports what its tests use."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.numbers import lock_folder, take_number


@pytest.fixture
def number(tmp_path: Path) -> Iterator[int]:
    """A lab number of one's own: 127.N.0.0/16 is free for the test."""
    taken = take_number(lock_folder(), owner=tmp_path)
    yield taken.value
    taken.release()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for UNIX sockets, and open to other users."""
    folder = Path(tempfile.mkdtemp(prefix="psa-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
