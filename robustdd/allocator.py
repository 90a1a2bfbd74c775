"""What the C library does with freed memory: a process that trains wants the same blocks again at its next step."""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Names of mallopt(3)."""


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for its next use, in this whole process; whether it does.

    By itself it gives blocks above 32 MB, and the top of its heap, back to the system as soon as they are free. A step
    of training frees the same blocks over and over, and the system hands each page of them out anew, zeroed: on a
    virtual machine that may take longer than the step. No number changes. The process stays as large as it ever was and
    grows by a few times its largest blocks, since aligned ones leave gaps; its threads share one heap, so that they can
    reuse each other's. False, and nothing is done, where the C
    library is not glibc or the user has settings of malloc (MALLOC_..., GLIBC_TUNABLES) in the environment.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))
    return all(mallopt(name, value) == 1 for name, value in settings)
