"""NVIDIA's StyleGAN2-ADA generators (Karras et al. 2020), from their official pickles.

A pickle runs code when it is read, and needs the packages `dnnlib` and `torch_utils` of
NVIDIA's repository, which its licence does not let us ship. So it is read only once its
checksum is known to be that of an official file, or the user has given it.
"""

import contextlib
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trustmia import files
from trustmia.errors import UserError

KIND = "stylegan2_ada"
REPOSITORY = "https://github.com/NVlabs/stylegan2-ada-pytorch"
# MD5 sums of the official pickles, as the paper's authors published them.
OFFICIAL = {
    "cf50a75907b9f117266583a355ed3824": "cifar10.pkl",
    "8fa2162d23fe76012bec12b1910b4e65": "afhqdog.pkl",
}
PACKAGES = ("dnnlib", "torch_utils")
PICKLE, CARD = "network.pkl", "model.json"


def check(path: Path, own_sha256: str | None) -> str:
    """Return the SHA-256 of a pickle that may be read, in hexadecimal.

    `own_sha256` is that of a file that the user trusts, if it is not an official one.

    Raises:
        UserError: The file is missing, or is neither official nor the user's own.
    """
    if not path.is_file():
        raise UserError(
            f"params.yaml: generator.stylegan2_ada_pickle: {path} not found; run `trustmia fetch "
            f"--all`, or put the file into {path.parent}/"
        )
    digest, md5 = files.sha256(path), files.md5(path)
    if own_sha256 is not None and digest != own_sha256:
        raise UserError(
            f"{path}: has SHA-256 {digest}, but generator.stylegan2_ada_sha256 is {own_sha256}; "
            "reading a pickle runs code, so this one was not read"
        )
    if own_sha256 is None and md5 not in OFFICIAL:
        raise UserError(
            f"{path}: is none of NVIDIA's {', '.join(OFFICIAL.values())} (its MD5 is {md5}); "
            "reading a pickle runs code, so this one was not read. If you trust it, set "
            f"generator.stylegan2_ada_sha256={digest}"
        )
    return digest


def save(folder: Path, path: Path, own_sha256: str | None, params: dict[str, Any]) -> None:
    """Keep a checked pickle, and a card that says what it is; replace the folder as a whole.

    `params` are the parameters that chose it, by their full keys; for `own_sha256` see `check`.

    Raises:
        UserError: See `check`.
    """
    digest = check(path, own_sha256)
    with files.atomic_folder(folder) as fresh:
        shutil.copyfile(path, fresh / PICKLE)
        files.write_json(fresh / CARD, {"kind": KIND, "params": params, "sha256": digest})


@contextlib.contextmanager
def importable(repository: Path) -> Iterator[None]:
    """Let a pickle import NVIDIA's packages from a clone of their repository.

    Raises:
        UserError: The folder is no such clone.
    """
    if not all((repository / package / "__init__.py").is_file() for package in PACKAGES):
        raise UserError(
            f"params.yaml: generator.stylegan2_ada_repo: {repository} holds no dnnlib and "
            f"torch_utils; get them with `git clone {REPOSITORY}`"
        )
    sys.path.insert(0, str(repository))
    try:
        yield
    finally:
        sys.path.remove(str(repository))


def load(
    folder: Path,
    repository: Path,
    own_sha256: str | None,
    truncation_psi: float,
    force_fp32: bool,
) -> "Drawn":
    """Read the averaged generator `G_ema` of a pickle that `save` kept.

    Call it, and the generator, inside `importable(repository)`, a clone of NVIDIA's repository.
    `folder` is where `save` kept it; for `own_sha256` see `check`, for the other settings `Drawn`.

    Raises:
        UserError: See `check`; or the file holds no generator that the code in
            `repository` can restore.
    """
    path = folder / PICKLE
    check(path, own_sha256)
    try:
        with path.open("rb") as stream:
            content = pickle.load(stream)  # noqa: S301 - its checksum is known
        network = content["G_ema"].eval().requires_grad_(False)
        return Drawn(network, truncation_psi, force_fp32)
    except Exception as error:
        # A pickle may raise anything.
        raise UserError(
            f"{path}: gives no G_ema with the code in {repository} ({type(error).__name__}: "
            f"{error})"
        ) from error


class Drawn(nn.Module):
    """A StyleGAN2-ADA generator with the interface of this project's own.

    The noise that the network adds at each resolution is its fixed one: random noise
    would make an image depend on the batch that it is drawn in.

    Args:
        network: NVIDIA's.
        truncation_psi: 1 draws from the whole distribution; smaller values pull the
            intermediate latents towards their mean (Karras et al. 2019, app. B).
        force_fp32: Compute in float32 where the network would use float16.
    """

    def __init__(self, network: Any, truncation_psi: float, force_fp32: bool) -> None:
        super().__init__()
        self.network: nn.Module = network
        self.latent_dim = int(network.z_dim)
        self.num_classes = int(network.c_dim)
        self.channels = int(network.img_channels)
        self.truncation_psi, self.force_fp32 = truncation_psi, force_fp32

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Draw images, float [N, C, H, W] in [-1, 1].

        Args:
            latents: float32 [N, z_dim], standard normal.
            labels: int64 [N], classes; not used by a generator without classes.
        """
        condition = None
        if self.num_classes:
            condition = nn.functional.one_hot(labels, self.num_classes).to(latents.dtype)
        images: Tensor = self.network(
            latents,
            condition,
            truncation_psi=self.truncation_psi,
            noise_mode="const",
            force_fp32=self.force_fp32,
        )
        return images
