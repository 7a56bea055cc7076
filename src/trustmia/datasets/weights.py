"""Registry of published weights that experiments start from, kept in `models/`."""

from dataclasses import dataclass
from pathlib import Path

from trustmia import paths
from trustmia.datasets.fetching import Archive, FetchRequest, copy_as_they_are, fetch_archives

PYTORCH = "https://download.pytorch.org/models"
NVIDIA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"


@dataclass(frozen=True)
class PretrainedFile:
    """A published file of weights.

    Attributes:
        title: Name for people.
        folder: Where it is kept.
        archive: Its name, address and checksum.
    """

    title: str
    folder: Path
    archive: Archive

    def fetch(self, request: FetchRequest) -> str:
        """Get it, verified (see `fetch_archives`)."""
        archives, names = [self.archive], [self.archive.filename]
        return fetch_archives(self.title, self.folder, request, archives, names, copy_as_they_are)


PRETRAINED: dict[str, PretrainedFile] = {
    "imagenet_resnet50": PretrainedFile(
        "ResNet-50 trained on ImageNet",
        paths.INITIAL_WEIGHTS,
        Archive("resnet50-0676ba61.pth", f"{PYTORCH}/resnet50-0676ba61.pth", sha256="0676ba61"),
    ),
    "stylegan2_ada_cifar10": PretrainedFile(
        "StyleGAN2-ADA trained on CIFAR-10",
        paths.STYLEGAN2_ADA,
        Archive("cifar10.pkl", f"{NVIDIA}/cifar10.pkl", md5="cf50a75907b9f117266583a355ed3824"),
    ),
    "stylegan2_ada_afhqdog": PretrainedFile(
        "StyleGAN2-ADA trained on AFHQ dogs",
        paths.STYLEGAN2_ADA,
        Archive("afhqdog.pkl", f"{NVIDIA}/afhqdog.pkl", md5="8fa2162d23fe76012bec12b1910b4e65"),
    ),
}
