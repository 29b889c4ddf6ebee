"""The machine that a benchmark runs on, and how much memory the process took."""

import platform
import resource
import sys
from pathlib import Path


def processor() -> str:
    """Name of the processor."""
    cpu, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        named = [line.partition(":")[2] for line in info.read_text().splitlines() if "model name" in line]
        cpu = named[0].strip() if named else cpu
    return cpu


def peak_bytes() -> int:
    """Largest resident size of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
