"""Import torchvision beside a PyTorch that its compiled operators were not built for."""

import functools
import importlib.util
from pathlib import Path

import torch


@functools.cache
def declare_missing_operators() -> torch.library.Library | None:
    """Make `import torchvision` work where its compiled operators do not load.

    The Linux wheel of torchvision on the package index is built against CUDA PyTorch.
    Beside a CPU-only PyTorch its library does not load, and the import stops at
    `operator torchvision::nms does not exist`, although data sets, transforms and
    models need none of these operators. Declaring their names is enough. A build whose
    library loads is left alone.

    Returns:
        The declarations, which live as long as the object does (the cache keeps it), or
        None where nothing had to be declared.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("torchvision is not installed; run `make venv`")
    for library in Path(spec.submodule_search_locations[0]).glob("_C*"):
        try:
            torch.ops.load_library(str(library))
            return None
        except (OSError, RuntimeError):
            continue
    declarations = torch.library.Library("torchvision", "DEF")
    declarations.define("nms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")
    declarations.define("qnms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")
    return declarations
