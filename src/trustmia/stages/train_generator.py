"""Stage `train_generator`: the GAN that draws fake images, on images of its own."""

from dataclasses import asdict

import torch
from tqdm import tqdm

from trustmia import paths
from trustmia.errors import UserError
from trustmia.generators import GanConfig, stylegan2_ada
from trustmia.generators.gan import Generator
from trustmia.generators.training import GanEpoch, train_gan
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import read_prepared
from trustmia.params import GeneratorParams, Params, load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import pick_device, resolved
from trustmia.stages._inputs import read_split


def main() -> None:
    """Write the generator and its card to `outputs/generator`."""
    params = load_params()
    if params.generator.source == "stylegan2_ada":
        keep_stylegan2_ada(params.generator)
        return
    prepared = read_prepared(paths.DATASET)
    images = prepared.images.take(read_split("generator")["train"])
    checkpoint = obtain(params, prepared.dataset, images)
    checkpoints.save(paths.GENERATOR / "model", checkpoint)


def keep_stylegan2_ada(params: GeneratorParams) -> None:
    """Keep NVIDIA's pickle as the generator, once its checksum is right."""
    name, own = str(params.stylegan2_ada_pickle), params.stylegan2_ada_sha256
    chosen = {"generator.stylegan2_ada_pickle": name}
    stylegan2_ada.save(paths.GENERATOR, paths.STYLEGAN2_ADA / name, own, chosen)


def obtain(params: Params, dataset: Dataset, images: Images) -> Checkpoint:
    """Train the GAN, or take the pretrained one that this training would give."""
    precision = resolved(params.generator.precision, pick_device())
    config = params.generator.model_copy(update={"precision": precision})
    decisive = {f"generator.{key}": getattr(config, key) for key in GanConfig.model_fields}
    data = checkpoints.data_card(dataset.name, images)
    if params.generator.source == "pretrained":
        stems = [p.with_suffix("") for p in paths.PRETRAINED_GENERATOR.glob("model.json")]
        return checkpoints.load_fitting(stems, "generator", decisive, data, "generator.source")
    history: list[GanEpoch] = []
    generator = train(dataset, images, config, params.seed, history)
    card = {
        "kind": "generator",
        "params": decisive,
        "data": data,
        "seed": params.seed,
        "metrics": {},
        "history": [asdict(epoch) for epoch in history],
        "threads": torch.get_num_threads(),
        "versions": checkpoints.versions(),
    }
    return Checkpoint(generator.state_dict(), card)


def train(
    dataset: Dataset, images: Images, config: GanConfig, seed: int, history: list[GanEpoch]
) -> Generator:
    """Train the GAN with a progress bar, and note its epochs.

    Raises:
        UserError: There are too few images, or of a size that the GAN cannot draw, or a
            loss is no longer finite.
    """
    if len(images) < config.batch_size or dataset.size % 4:
        raise UserError(
            f"params.yaml: the GAN has {len(images)} images of {dataset.size} pixels to learn "
            "from; allowed: at least generator.batch_size images, a dataset.size that 4 divides"
        )
    with tqdm(total=config.epochs, desc="train generator", unit="epoch") as bar:

        def show(epoch: GanEpoch) -> None:
            history.append(epoch)
            bar.set_postfix_str(
                f"losses {epoch.discriminator_loss:.3f}, {epoch.generator_loss:.3f}"
            )
            bar.update()

        try:
            return train_gan(images, len(dataset.classes), config, seed, pick_device(), show)
        except FloatingPointError as error:
            raise UserError(f"{error}; choose a smaller generator.lr") from error
