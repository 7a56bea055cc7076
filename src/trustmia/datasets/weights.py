"""Registry of published weights that experiments start from, kept in `models/`."""

from trustmia import paths
from trustmia.datasets.fetching import Archive, Published, copy_as_they_are

PYTORCH = "https://download.pytorch.org/models"
NVIDIA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"


FILES = {
    "imagenet_resnet50": (
        "ResNet-50 trained on ImageNet",
        paths.INITIAL_WEIGHTS,
        Archive("resnet50-0676ba61.pth", f"{PYTORCH}/resnet50-0676ba61.pth", sha256="0676ba61"),
    ),
    "stylegan2_ada_cifar10": (
        "StyleGAN2-ADA trained on CIFAR-10",
        paths.STYLEGAN2_ADA,
        Archive("cifar10.pkl", f"{NVIDIA}/cifar10.pkl", md5="cf50a75907b9f117266583a355ed3824"),
    ),
    "stylegan2_ada_afhqdog": (
        "StyleGAN2-ADA trained on AFHQ dogs",
        paths.STYLEGAN2_ADA,
        Archive("afhqdog.pkl", f"{NVIDIA}/afhqdog.pkl", md5="8fa2162d23fe76012bec12b1910b4e65"),
    ),
}
PRETRAINED = {
    name: Published(
        title=title,
        archives=(archive,),
        folder=folder,
        files=(archive.filename,),
        unpack=copy_as_they_are,
    )
    for name, (title, folder, archive) in FILES.items()
}
