"""Stage `generate`: fake images from the generator."""

from tqdm import tqdm

from trustmia import checkpoints, entry, files, layout
from trustmia.checkpoints import Checkpoint
from trustmia.compute import pick_device
from trustmia.datasets import DATASETS, Dataset
from trustmia.generators.fakes import save_fakes
from trustmia.generators.gan import Generator
from trustmia.generators.sampling import SampleConfig, preview, sample
from trustmia.params import load_params
from trustmia.seeding import derive_seed


def main() -> None:
    """Write the images, their labels and manifest to `outputs/fakes`, and a preview."""
    params = load_params()
    dataset = DATASETS[params.dataset.name]
    stem = layout.GENERATOR / "model"
    checkpoint = checkpoints.load(stem)
    config = SampleConfig(
        num_images=params.generate.num_images,
        num_classes=len(dataset.classes),
        latent_dim=checkpoint.card["params"]["generator.latent_dim"],
        truncation=params.generate.truncation,
        batch_size=params.generate.batch_size,
        seed=derive_seed(params.seed, "generate"),
        precision=params.generate.precision,
    )
    with tqdm(total=config.num_images, desc="generate", unit="image") as bar:
        fakes = sample(restore(dataset, checkpoint), config, pick_device(), bar.update)
    origin = {"generator": files.sha256(checkpoints.paths(stem)[0]), "seed": config.seed}
    save_fakes(layout.FAKES, fakes, origin)
    files.write_image(layout.PLOTS / "fakes.png", preview(fakes, config.num_classes))


def restore(dataset: Dataset, checkpoint: Checkpoint) -> Generator:
    """Return the generator of a checkpoint in evaluation mode."""
    params = checkpoint.card["params"]
    shape = len(dataset.classes), dataset.channels, dataset.size
    generator = Generator(*shape, params["generator.latent_dim"], params["generator.width"])
    generator.load_state_dict(checkpoint.tensors)
    return generator.eval()


if __name__ == "__main__":
    entry.run("generate", main)
