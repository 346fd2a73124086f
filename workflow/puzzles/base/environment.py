"""The surroundings of a run: environment variables of its jobs, and whether there is a GPU."""

import os
from pathlib import Path


def set_environment(library: str) -> None:
    """Set what jobs, which are processes of their own, inherit: where the library is, and one thread for a computation.

    With the malloc settings, blocks of the size of a batch are kept instead of being given back to the system at every step
    (measured: 1.06 to 1.2 times faster); they only work when set before Python starts.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")]))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"):
        os.environ.setdefault(name, str(2**28))


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU; asked when rules are read, so without importing torch."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
