"""Every published file in its official format, small enough to make in a test."""

import gzip
import hashlib
import io
import pickle
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tarfile import REGTYPE
from types import ModuleType

import numpy as np
import scipy.io
import torch
from PIL import Image

from trustmia.arrays import Int64, UInt8
from trustmia.datasets import DATASETS, afhq, cifar10, cifar100, stanford_dogs, stl10
from trustmia.datasets.fetching import Archive
from trustmia.datasets.weights import PRETRAINED
from trustmia.generators.stylegan2_ada import importable
from trustmia.torchvision_compat import declare_missing_operators

# How many images there are for training, and for tests.
COUNTS = {
    "fashion_mnist": (60, 20),
    "cifar10": (600, 120),
    "cifar100": (200, 100),
    "stl10": (100, 40),
    "svhn": (60, 20),
    "stanford_dogs": (240, 0),
    "afhq": (90, 9),
}
# What unpickling the stand-in of a StyleGAN2-ADA network needs, in NVIDIA's packages' place.
STAND_IN = '''
import torch

class Generator(torch.nn.Module):
    """Has the interface of the official `training.networks.Generator`."""

    def __init__(self, z_dim, c_dim, img_resolution, img_channels):
        super().__init__()
        self.z_dim, self.c_dim = z_dim, c_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.draw = torch.nn.Linear(z_dim + c_dim, img_channels * img_resolution**2)

    def forward(self, z, c, truncation_psi=1, noise_mode="random", force_fp32=False):
        assert (c is None) == (self.c_dim == 0)
        h = truncation_psi * z if c is None else torch.cat([truncation_psi * z, c], 1)
        side = self.img_resolution
        images = self.draw(h).view(-1, self.img_channels, side, side)
        if noise_mode == "random":
            images = images + torch.randn_like(images)
        return images.tanh()
'''


class Evil:
    """Makes a file where its pickle is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("evil"),))


def pictures(labels: Int64, side: int, seed: int) -> UInt8:
    """Return colour noise [N, 3, side, side] around a colour for each class, darker above."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(0).integers(40, 216, size=(labels.max() + 1, 3, 1, 1))
    noise = rng.normal(scale=25, size=(len(labels), 3, side, side))
    rows = np.linspace(-20, 20, side)[:, None]
    return (colours[labels] + rows + noise).clip(0, 255).astype(np.uint8)


def turns(count: int, classes: int) -> Int64:
    """Return labels, classes in turn."""
    return np.arange(count, dtype=np.int64) % classes


def tar(members: Iterable[tuple[str, bytes]], mode: str = "w:gz", kind: bytes = REGTYPE) -> bytes:
    """Return a TAR archive of files, or of another kind of members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(members: Iterable[tuple[str, bytes]], mode: int = stat.S_IFREG) -> bytes:
    """Return a ZIP archive of files, or of members with another mode."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return stream.getvalue()


def jpeg(pixels: UInt8) -> bytes:
    """Return [3, H, W] as a JPEG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(stream, format="JPEG")
    return stream.getvalue()


def idx_files() -> Iterable[bytes]:
    """Return images and labels of training and test, each in gzip."""
    for count in COUNTS["fashion_mnist"]:
        labels = turns(count, 10)
        pixels = pictures(labels, 28, count)[:, 0]
        for magic, array in ((2051, pixels), (2049, labels.astype(np.uint8))):
            header = np.asarray([magic, *array.shape], dtype=">i4")
            yield gzip.compress(header.tobytes() + array.tobytes(), mtime=0)


def cifar_files(module: ModuleType, key: str) -> dict[str, bytes]:
    """Return batches with their labels under a key, and the names of classes."""
    classes, (train, test) = module.SOURCE.classes, COUNTS[module.SOURCE.name]
    counts = dict.fromkeys(module.TRAIN, train // len(module.TRAIN))
    files = {}
    for seed, (name, count) in enumerate((counts | dict.fromkeys(module.TEST, test)).items()):
        labels = turns(count, len(classes))
        data = pictures(labels, 32, seed).reshape(count, -1)
        files[name] = pickle.dumps({"data": data, key: labels.tolist()}, protocol=2)
    meta = pickle.dumps({f"{key[:-1]}_names": list(classes)}, protocol=2)
    return files | dict.fromkeys(module.META, meta)


def stl10_files() -> dict[str, bytes]:
    files = {}
    for name, count in zip(("train", "test"), COUNTS["stl10"], strict=True):
        labels = turns(count, 10)
        columns_first = pictures(labels, 96, count).transpose(0, 1, 3, 2)
        files[f"{name}_X.bin"] = columns_first.tobytes()
        files[f"{name}_y.bin"] = (labels + 1).astype(np.uint8).tobytes()
    classes = "".join(f"{name}\n" for name in stl10.SOURCE.classes)
    return files | {"unlabeled_X.bin": bytes(96 * 96 * 3), "class_names.txt": classes.encode()}


def svhn_file(count: int) -> bytes:
    labels = turns(count, 10)
    stream = io.BytesIO()
    digits = np.where(labels == 0, 10, labels)[:, None]
    x = pictures(labels, 32, count).transpose(2, 3, 1, 0)
    scipy.io.savemat(stream, {"X": x, "y": digits.astype(np.uint8)})
    return stream.getvalue()


def dogs() -> Iterable[tuple[str, bytes]]:
    breeds = stanford_dogs.SOURCE.classes
    labels = np.repeat(np.arange(len(breeds)), 2)
    for number, (label, pixels) in enumerate(zip(labels, pictures(labels, 60, 3), strict=True)):
        folder = f"n{2085620 + label:08d}-{breeds[label]}"
        cut = 48 + number % 3 * 6
        yield f"Images/{folder}/{folder[:9]}_{number}.jpg", jpeg(pixels[:, :cut])


def afhq_files() -> Iterable[tuple[str, bytes]]:
    for part, count in zip(("train", "val"), COUNTS["afhq"], strict=True):
        for name in afhq.CLASSES:
            for number, pixels in enumerate(pictures(turns(count // 3, 1), 64, len(name))):
                yield f"afhq/{part}/{name}/{number:03d}.jpg", jpeg(pixels)


def stand_in_repository(folder: Path) -> Path:
    """Write packages in the place of NVIDIA's; return the folder."""
    for package in ("dnnlib", "torch_utils"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text("", encoding="utf-8")
    (folder / "torch_utils" / "stand_in.py").write_text(STAND_IN, encoding="utf-8")
    return folder


def stylegan2_ada(repository: Path, classes: int, side: int) -> bytes:
    """Return a pickle in the official form, whose class only `repository` has."""
    with importable(repository):
        from torch_utils.stand_in import Generator  # type: ignore[import-not-found]

        torch.manual_seed(0)
        content = pickle.dumps({"G_ema": Generator(512, classes, side, 3)})
    for name in [name for name in sys.modules if name.split(".")[0] == "torch_utils"]:
        del sys.modules[name]
    return content


def resnet50_weights() -> bytes:
    """Return random weights as `torch.save` writes them, for 1,000 classes."""
    declare_missing_operators()
    from torchvision.models import resnet50

    torch.manual_seed(0)
    stream = io.BytesIO()
    torch.save(resnet50().state_dict(), stream)
    return stream.getvalue()


class Miniatures:
    """The miniatures of some published files, and their checksums.

    Attributes:
        served: Path on a server → content.
        sums: Published checksum → the miniature's.
    """

    def __init__(self, names: Iterable[str], repository: Path) -> None:
        self.served: dict[str, bytes] = {}
        self.sums: dict[str, str] = {}
        contents: dict[str, Callable[[], Iterable[bytes]]] = {
            "fashion_mnist": idx_files,
            "cifar10": lambda: self._tar(cifar10, cifar_files(cifar10, "labels")),
            "cifar100": lambda: self._tar(cifar100, cifar_files(cifar100, "fine_labels")),
            "stl10": lambda: self._tar(stl10, stl10_files()),
            "svhn": lambda: map(svhn_file, COUNTS["svhn"]),
            "stanford_dogs": lambda: [tar(dogs(), "w")],
            "afhq": lambda: [zipped(afhq_files())],
            "stylegan2_ada_cifar10": lambda: [stylegan2_ada(repository, 10, 32)],
            "stylegan2_ada_afhqdog": lambda: [stylegan2_ada(repository, 0, 64)],
            "imagenet_resnet50": lambda: [resnet50_weights()],
        }
        for name in names:
            archives = (DATASETS.get(name) or PRETRAINED[name]).archives
            for archive, content in zip(archives, contents[name](), strict=True):
                self.serve(archive, content)

    def serve(self, archive: Archive, content: bytes) -> None:
        """Serve content that counts as a published file."""
        kind = "md5" if archive.md5 else "sha256"
        self.served[f"/{archive.filename}"] = content
        self.sums[getattr(archive, kind)] = hashlib.new(kind, content).hexdigest()

    def _tar(self, module: ModuleType, files: Mapping[str, bytes]) -> list[bytes]:
        """Return a TAR of files that have published checksums of their own."""
        sums = {**module.TRAIN, **module.TEST, **getattr(module, "META", {})}
        self.sums |= {sums[name]: hashlib.md5(files[name]).hexdigest() for name in sums}
        return [tar((f"{module.FOLDER}/{name}", content) for name, content in files.items())]

    def count_as_published(self, clone: Path) -> None:
        """Make the miniatures the published files of a clone, by their checksums."""
        for path in (clone / "src" / "trustmia").rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for published, own in self.sums.items():
                text = text.replace(f'"{published}"', f'"{own}"')
            path.write_text(text, encoding="utf-8")
