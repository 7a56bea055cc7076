"""Fake images as files, with their checksums."""

from pathlib import Path

import numpy as np

from trustmia import files
from trustmia.errors import UserError
from trustmia.images.base import Images

IMAGES, LABELS, MANIFEST = "images.npy", "labels.npy", "manifest.json"


def save_fakes(folder: Path, fakes: Images, origin: dict[str, object]) -> None:
    """Write images, labels, and a manifest with their SHA-256 sums.

    The folder is replaced as a whole; `origin` says in the manifest what drew them.
    """
    with files.atomic_folder(folder) as fresh:
        np.save(fresh / IMAGES, fakes.pixels, allow_pickle=False)
        np.save(fresh / LABELS, fakes.labels, allow_pickle=False)
        sums = {name: files.sha256(fresh / name) for name in (IMAGES, LABELS)}
        manifest = {"num_images": len(fakes), **origin, "sha256": sums}
        files.write_json(fresh / MANIFEST, manifest)


def load_fakes(folder: Path) -> Images:
    """Read the images after checking them against the manifest.

    Raises:
        UserError: A file is missing or is not what the manifest describes.
    """
    with files.written_by("generate", folder / MANIFEST, folder):
        sums = files.read_json(folder / MANIFEST)["sha256"]
        for name, expected in sums.items():
            if files.sha256(folder / name) != expected:
                raise UserError(
                    f"{folder / name}: does not match {MANIFEST}; run `dvc checkout {folder}`"
                )
        return Images(*(np.load(folder / name, allow_pickle=False) for name in (IMAGES, LABELS)))
