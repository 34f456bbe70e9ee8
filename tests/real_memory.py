"""What this process holds in memory."""

from pathlib import Path


def resident_mib() -> float:
    """Return the resident memory, in MiB."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024
