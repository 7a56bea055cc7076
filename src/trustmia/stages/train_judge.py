"""Stage `train_judge`: the classifier that judges fakes, on the generator's own images."""

from tqdm import tqdm

from trustmia import checkpoints, entry, layout, recipes
from trustmia.checkpoints import Checkpoint
from trustmia.compute import pick_device
from trustmia.datasets import DATASETS, Images
from trustmia.params import Params, load_params
from trustmia.recipes import Recipe
from trustmia.seeding import derive_seed
from trustmia.stages.inputs import read_split
from trustmia.training import EpochResult, TrainConfig

ARCH = "salem_cnn"


def main() -> None:
    """Write `outputs/judge/model.safetensors` and its card."""
    params = load_params()
    images = DATASETS[params.dataset.name].load(layout.DATA)
    index = read_split("generator")
    checkpoint = obtain(params, images.take(index["train"]), images.take(index["holdout"]))
    checkpoints.save(layout.JUDGE / "model", checkpoint)


def obtain(params: Params, train: Images, holdout: Images) -> Checkpoint:
    """Train the judge, or take the pretrained one that this training would give."""
    dataset = DATASETS[params.dataset.name]
    recipe = recipe_of(params)
    if params.generator.source == "pretrained":
        stems = [p.with_suffix("") for p in layout.PRETRAINED_JUDGE.glob("model.json")]
        data = checkpoints.data_card(dataset.name, train)
        return checkpoints.load_fitting(stems, "judge", recipe.params, data, "generator.source")
    with tqdm(total=recipe.config.epochs, desc="train judge", unit="epoch") as bar:

        def show(result: EpochResult) -> None:
            bar.set_postfix_str(f"held-out accuracy {result.test_accuracy:.3f}")
            bar.update()

        return recipes.train(dataset, train, holdout, recipe, pick_device(), show)


def recipe_of(params: Params) -> Recipe:
    """Return what decides about the judge's weights."""
    return Recipe(
        arch=ARCH,
        config=TrainConfig(
            epochs=params.generator.judge_epochs,
            batch_size=128,
            lr=0.001,
            weight_decay=0.0,
            label_smoothing=0.0,
            precision=params.generator.precision,
        ),
        seed=derive_seed(params.seed, "train_judge"),
        params={
            "generator.judge_epochs": params.generator.judge_epochs,
            "generator.precision": params.generator.precision,
        },
        lr_key="generator.judge_epochs",
    )


if __name__ == "__main__":
    entry.run("train_judge", main)
