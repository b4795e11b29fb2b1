"""Memory that a step frees is kept for the next one."""

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from malloc.h
LARGE = 1 << 30


def keep_memory() -> None:
    """Tell glibc to keep large freed blocks: else each step asks the kernel for the same pages anew.

    On a CPU that was a tenth of a small model's step (bench/train.py). Other systems are left alone.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(M_MMAP_THRESHOLD, LARGE)
            libc.mallopt(M_TRIM_THRESHOLD, LARGE)
