"""Stage `train_generator`: the GAN that draws fake images, on images of its own."""

from dataclasses import asdict
from typing import Any

from trustmia import paths
from trustmia.errors import UserError
from trustmia.generators import GanConfig
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import read_prepared
from trustmia.params import GeneratorParams, load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import pick_device, resolved
from trustmia.stages._inputs import read_split

STEM = paths.GENERATOR / "model"


def main() -> None:
    """Write the generator and its card to `outputs/generator`."""
    params = load_params()
    if params.generator.source == "stylegan2_ada":
        keep_stylegan2_ada(params.generator)
        return
    prepared = read_prepared(paths.DATASET)
    images = prepared.images.take(read_split("generator")["train"])
    config = params.generator
    config = config.model_copy(update={"precision": resolved(config.precision)})
    card: dict[str, Any] = {
        "kind": "generator",
        "params": {f"generator.{key}": getattr(config, key) for key in GanConfig.model_fields},
        "data": checkpoints.data_card(prepared.dataset.name, images),
        "seed": params.seed,
    }
    if config.source == "pretrained":
        stems = [p.with_suffix("") for p in paths.PRETRAINED_GENERATOR.glob("model.json")]
        wanted, data = card["params"], card["data"]
        fits = checkpoints.fitting(stems, "generator", wanted, data, "generator.source")
        checkpoints.copy(fits, STEM)
    else:
        checkpoints.save(STEM, trained(prepared.dataset, images, config, card))


def keep_stylegan2_ada(params: GeneratorParams) -> None:
    """Keep NVIDIA's pickle as the generator, once its checksum is right."""
    from trustmia.generators import stylegan2_ada

    name, own = str(params.stylegan2_ada_pickle), params.stylegan2_ada_sha256
    chosen = {"generator.stylegan2_ada_pickle": name}
    stylegan2_ada.save(paths.GENERATOR, paths.STYLEGAN2_ADA / name, own, chosen)


def trained(
    dataset: Dataset, images: Images, config: GanConfig, card: dict[str, Any]
) -> Checkpoint:
    """Train the GAN with a progress bar, and note its epochs.

    Args:
        dataset: What the images are.
        images: The generator's own.
        config: Hyperparameters.
        card: What of the checkpoint's card is known before, its `seed` among it.

    Raises:
        UserError: There are too few images, or of a size that the GAN cannot draw, or a
            loss is no longer finite.
    """
    import torch
    from tqdm import tqdm

    from trustmia.generators.training import GanEpoch, train_gan

    if len(images) < config.batch_size or dataset.size % 4:
        raise UserError(
            f"params.yaml: the GAN has {len(images)} images of {dataset.size} pixels to learn "
            "from; allowed: at least generator.batch_size images, a dataset.size that 4 divides"
        )
    history: list[dict[str, float]] = []
    with tqdm(total=config.epochs, desc="train generator", unit="epoch") as bar:

        def show(epoch: GanEpoch) -> None:
            history.append(asdict(epoch))
            bar.set_postfix_str(
                f"losses {epoch.discriminator_loss:.3f}, {epoch.generator_loss:.3f}"
            )
            bar.update()

        classes, seed = len(dataset.classes), card["seed"]
        try:
            generator = train_gan(images, classes, config, seed, pick_device(), show)
        except FloatingPointError as error:
            raise UserError(f"{error}; choose a smaller generator.lr") from error
    rest = {
        "metrics": {},
        "history": history,
        "threads": torch.get_num_threads(),
        "versions": checkpoints.versions(),
    }
    return Checkpoint(generator.state_dict(), card | rest)
