"""What a release leaves behind: nothing that goes on writing."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from crds.release import Phase
from tests.bench.figures import quiet
from tests.bench.table import Figure
from tests.real_releases import NEW, releases

#: The pass that finds a release at rest writes what it says of itself, once.
_SETTLE_S: Final = 3


def measure() -> Iterator[Figure]:
    """Count what is written in a minute after a release has come to its end."""
    with tempfile.TemporaryDirectory(prefix="psa-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with releases(Path(folder) / "lab") as lab:
            with lab.users(100):
                lab.ask_for(NEW)
                lab.wait_in(Phase.COMPLETED)
            lab.wait("everything to be Ready", lambda: not lab.sight.unready())
            time.sleep(_SETTLE_S)
            yield quiet(lab.lab, "after a release")
