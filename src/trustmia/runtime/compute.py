"""Where and how precisely models compute.

PyTorch is imported on use: a stage that takes a pretrained model computes nothing.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, TypeVar

from trustmia.settings import Precision

if TYPE_CHECKING:
    import torch

Resolved = Literal["fp32", "bf16"]
ModuleT = TypeVar("ModuleT", bound="torch.nn.Module")


def pick_device() -> "torch.device":
    """Return CUDA where PyTorch sees it, else the CPU; from then on float32 is float32.

    PyTorch lets cuDNN round convolutions to TensorFloat-32, which has 10 bits of float32's 23.
    """
    import torch

    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolved(precision: Precision, device: "torch.device | None" = None) -> Resolved:
    """Return the precision that computes; `auto` asks the processor.

    On a processor without bfloat16 arithmetic PyTorch emulates it, which is slower
    than float32, so `auto` chooses it only where it is native.

    Args:
        precision: As it is asked for.
        device: What computes; None: what `pick_device` picks.
    """
    if precision != "auto":
        return precision
    import torch

    if (device or pick_device()).type == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        native = bool(torch.cpu._is_avx512_bf16_supported())
    return "bf16" if native else "fp32"


def cores() -> int:
    """Return how many cores this process may use; not every system tells, then all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Let PyTorch compute on a number of threads inside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def place(module: ModuleT, device: "torch.device") -> ModuleT:
    """Move a module to a device, its weights channels last, as convolutions are fastest."""
    import torch

    module.to(device)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def autocast(precision: Precision, device: "torch.device") -> "torch.autocast":
    """Return the autocast context for `precision` on `device`."""
    import torch

    enabled = resolved(precision, device) == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed PyTorch's global generator and ask for deterministic kernels inside.

    On a GPU, where some operations have none, PyTorch warns and takes what there is. The
    state before is restored, so that seeding one computation leaves no trace in the next.
    """
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    # cuBLAS reads this when it starts, and is not deterministic without it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
