"""The peak of this process's memory."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

KIB_PER_MIB = 1024


def peak_mib() -> float:
    """The most memory that this process ever had resident, in MiB (the memory of a GPU is not in it).

    On Linux from /proc: `getrusage` there starts a child at the peak of the process that made it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / KIB_PER_MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / KIB_PER_MIB**2 if sys.platform == "darwin" else peak / KIB_PER_MIB
