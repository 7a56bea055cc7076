"""Stage `generate`: fake images from the generator."""

from dataclasses import replace
from pathlib import Path

from torch import nn
from tqdm import tqdm

from trustmia import files, paths
from trustmia.errors import UserError
from trustmia.generators import stylegan2_ada
from trustmia.generators.gan import Generator
from trustmia.generators.sampling import SampleConfig, preview, sample
from trustmia.images.base import Dataset, Images
from trustmia.images.fakes import save_fakes
from trustmia.images.prepared import read_dataset
from trustmia.params import Params, load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.compute import pick_device, place
from trustmia.runtime.seeding import derive_seed

STEM = paths.GENERATOR / "model"
PREVIEW_ROWS = 10
PREVIEW_SIDE = 64


def main() -> None:
    """Write the images, their labels and manifest to `outputs/fakes`, and a preview."""
    params = load_params()
    dataset = read_dataset(paths.DATASET)
    card = checkpoints.load_card(STEM)
    if card["kind"] == stylegan2_ada.KIND:
        fakes, digest = from_stylegan2_ada(params, dataset), card["sha256"]
    else:
        fakes, digest = from_gan(params, dataset), files.sha256(checkpoints.paths(STEM)[0])
    origin = {"generator": digest, "seed": derive_seed(params.seed, "generate")}
    save_fakes(paths.FAKES, fakes, origin)
    rows = min(len(dataset.classes), PREVIEW_ROWS)
    files.write_image(paths.PLOTS / "fakes.png", preview(fakes, rows, PREVIEW_SIDE))


def from_gan(params: Params, dataset: Dataset) -> Images:
    """Draw images with this project's own generator."""
    checkpoint = checkpoints.load(STEM)
    trained = checkpoint.card["params"]
    shape = len(dataset.classes), dataset.channels, dataset.size
    generator = Generator(*shape, trained["generator.latent_dim"], trained["generator.width"])
    generator.load_state_dict(checkpoint.tensors)
    config = sample_config(params, dataset, trained["generator.latent_dim"])
    return draw(place(generator.eval(), pick_device()), config)


def sample_config(params: Params, dataset: Dataset, latent_dim: int) -> SampleConfig:
    """Return what is drawn, by this project's own generator."""
    return SampleConfig(
        num_images=params.generate.num_images,
        num_classes=len(dataset.classes),
        latent_dim=latent_dim,
        truncation=params.generate.truncation,
        size=dataset.size,
        batch_size=params.generate.batch_size,
        seed=derive_seed(params.seed, "generate"),
        precision=params.generate.precision,
    )


def from_stylegan2_ada(params: Params, dataset: Dataset) -> Images:
    """Draw images with a generator of NVIDIA's."""
    repository = Path(params.generator.stylegan2_ada_repo or "")
    device = pick_device()
    with stylegan2_ada.importable(repository):
        generator = stylegan2_ada.load(
            paths.GENERATOR,
            repository,
            params.generator.stylegan2_ada_sha256,
            truncation_psi=params.generate.truncation_psi,
            force_fp32=device.type == "cpu" or params.generate.precision == "fp32",
        )
        classes, channels = generator.num_classes, generator.channels
        if classes not in (0, len(dataset.classes)) or channels != dataset.channels:
            raise UserError(
                f"params.yaml: generator.stylegan2_ada_pickle: draws {classes} classes with "
                f"{channels} channels, but {dataset.name} has {len(dataset.classes)} classes with "
                f"{dataset.channels}"
            )
        # NVIDIA's networks truncate and compute in half precision by themselves.
        config = replace(
            sample_config(params, dataset, generator.latent_dim),
            num_classes=classes,
            truncation=None,
            precision="fp32",
        )
        return draw(generator.to(device), config)


def draw(generator: nn.Module, config: SampleConfig) -> Images:
    """Draw with a progress bar."""
    with tqdm(total=config.num_images, desc="generate", unit="image") as bar:
        return sample(generator, config, pick_device(), bar.update)
