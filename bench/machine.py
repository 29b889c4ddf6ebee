"""The machine that a benchmark runs on, and how much memory the process took."""

import os
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


def described() -> dict[str, str]:
    """Processor and libraries, for what runs models."""
    import torch
    import transformers

    return {
        "CPU": f"{processor()} ({torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores)",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def peak_gb() -> float:
    """Largest resident size of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
