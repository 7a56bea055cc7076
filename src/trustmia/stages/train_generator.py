"""Stage `train_generator`: the GAN that draws fake images, on images of its own."""

from dataclasses import asdict

from tqdm import tqdm

from trustmia import checkpoints, entry, layout
from trustmia.checkpoints import Checkpoint
from trustmia.compute import pick_device
from trustmia.datasets import DATASETS, Images
from trustmia.errors import UserError
from trustmia.generators.training import GanConfig, GanEpoch, train_gan
from trustmia.params import Params, load_params
from trustmia.stages.inputs import read_split


def main() -> None:
    """Write `outputs/generator/model.safetensors` and its card."""
    params = load_params()
    images = DATASETS[params.dataset.name].load(layout.DATA)
    index = read_split("generator")
    checkpoint = obtain(params, images.take(index["train"]))
    checkpoints.save(layout.GENERATOR / "model", checkpoint)


def obtain(params: Params, images: Images) -> Checkpoint:
    """Train the generator, or take the pretrained one that this training would give."""
    values = params.generator.model_dump(exclude={"source", "judge_epochs"})
    decisive = {f"generator.{key}": value for key, value in values.items()}
    data = checkpoints.data_card(params.dataset.name, images)
    if params.generator.source == "pretrained":
        stems = [p.with_suffix("") for p in layout.PRETRAINED_GENERATOR.glob("model.json")]
        return checkpoints.load_fitting(stems, "generator", decisive, data, "generator.source")
    history: list[GanEpoch] = []
    with tqdm(total=params.generator.epochs, desc="train generator", unit="epoch") as bar:

        def show(epoch: GanEpoch) -> None:
            history.append(epoch)
            bar.set_postfix_str(
                f"losses {epoch.discriminator_loss:.3f}, {epoch.generator_loss:.3f}"
            )
            bar.update()

        try:
            classes = len(DATASETS[params.dataset.name].classes)
            config = GanConfig(**values)
            generator = train_gan(images, classes, config, params.seed, pick_device(), show)
        except FloatingPointError as error:
            raise UserError(f"{error}; choose a smaller generator.lr") from error
    card = {
        "kind": "generator",
        "params": decisive,
        "data": data,
        "seed": params.seed,
        "metrics": {},
        "history": [asdict(epoch) for epoch in history],
        "versions": checkpoints.versions(),
    }
    return Checkpoint(generator.state_dict(), card)


if __name__ == "__main__":
    entry.run("train_generator", main)
