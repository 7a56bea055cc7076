"""Stage `train_judge`: the classifier that judges fakes, on the generator's own images."""

from typing import TYPE_CHECKING

from trustmia import paths
from trustmia.classifiers import TrainConfig
from trustmia.errors import UserError
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import read_prepared
from trustmia.params import Params, load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import pick_device, resolved
from trustmia.runtime.seeding import derive_seed
from trustmia.stages._inputs import read_split

if TYPE_CHECKING:
    from trustmia.classifiers.recipe import Recipe

STEM = paths.JUDGE / "model"
ARCH = "salem_cnn"


def main() -> None:
    """Write `outputs/judge/model.safetensors` and its card.

    Without epochs there is no judge, and the card says so.
    """
    params = load_params()
    if not params.judge.epochs:
        checkpoints.save(STEM, Checkpoint({}, {"kind": "none"}))
        return
    prepared = read_prepared(paths.DATASET)
    index = read_split("generator")
    if not len(index["train"]) or not len(index["holdout"]):
        raise UserError(
            "params.yaml: split leaves no images for the judge of the fakes; lower split.pool_size "
            "and raise split.generator_holdout_size, or set judge.epochs=0"
        )
    train, holdout = (prepared.images.take(index[part]) for part in ("train", "holdout"))
    if params.judge.source == "pretrained":
        stems = [p.with_suffix("") for p in paths.PRETRAINED_JUDGE.glob("model.json")]
        card = checkpoints.data_card(prepared.dataset.name, train)
        fits = checkpoints.fitting(stems, "judge", decisive(params), card, "judge.source")
        checkpoints.copy(fits, STEM)
    else:
        checkpoints.save(STEM, trained(params, prepared.dataset, train, holdout))


def trained(params: Params, dataset: Dataset, train: Images, holdout: Images) -> Checkpoint:
    """Train the judge with a progress bar."""
    from tqdm import tqdm

    from trustmia.classifiers import recipe as recipes
    from trustmia.classifiers.training import EpochResult

    recipe = recipe_of(params)
    with tqdm(total=recipe.config.epochs, desc="train judge", unit="epoch") as bar:

        def show(result: EpochResult) -> None:
            bar.set_postfix_str(f"held-out accuracy {result.test_accuracy:.3f}")
            bar.update()

        data = recipes.TrainingData(train, holdout)
        return recipes.train(dataset, data, recipe, pick_device(), show)


def decisive(params: Params) -> dict[str, str | int]:
    """Return the parameters that decide about the judge's weights, by their full keys."""
    return {
        "judge.epochs": params.judge.epochs,
        "judge.precision": resolved(params.judge.precision),
    }


def recipe_of(params: Params) -> "Recipe":
    """Return what decides about the judge's weights."""
    from trustmia.classifiers.recipe import Recipe

    return Recipe(
        arch=ARCH,
        config=TrainConfig(
            epochs=params.judge.epochs,
            batch_size=128,
            lr=0.001,
            weight_decay=0.0,
            label_smoothing=0.0,
            precision=resolved(params.judge.precision),
        ),
        seed=derive_seed(params.seed, "train_judge"),
        params=decisive(params),
        remedy="of the judge of the fakes; set judge.precision=fp32, or "
        "judge.epochs=0 for no judge",
    )
