"""What the C library does with memory that a training step gives back."""

import ctypes

# Numbers of glibc's `mallopt`, from its malloc.h, and the largest block that it takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 32 * 2**20
MOST_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, up to 1 GiB, instead of giving it back.

    Every step of a training on a CPU asks for the same blocks again. Given back in between,
    the kernel has to find and to clear their pages each time.

    Returns:
        Whether the C library could be told; other ones than glibc have no such option.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    set_trim, set_mmap = (
        mallopt(option, value)
        for option, value in ((M_TRIM_THRESHOLD, MOST_KEPT), (M_MMAP_THRESHOLD, LARGEST_BLOCK))
    )
    return bool(set_trim and set_mmap)
