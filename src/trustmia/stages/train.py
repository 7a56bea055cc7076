"""Stage `train@{target,shadow}`: a classifier on its own half of the data."""

import shutil
import tempfile
from pathlib import Path

from dvclive.live import Live
from tqdm import tqdm

from trustmia import files, paths
from trustmia.classifiers import recipe as recipes
from trustmia.classifiers.recipe import Recipe, TrainingData
from trustmia.classifiers.training import EpochResult
from trustmia.images.base import Dataset
from trustmia.images.prepared import read_prepared
from trustmia.params import Params, load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Card, Checkpoint
from trustmia.runtime.compute import pick_device
from trustmia.runtime.seeding import derive_seed
from trustmia.stages._classifier_recipe import classifier_recipe
from trustmia.stages._inputs import read_split

CURVES = ("train_loss", "train_accuracy", "test_accuracy")


def main(role: str) -> None:
    """Write the checkpoint, `metrics/train_{role}.json` and the curves of training."""
    params = load_params()
    prepared = read_prepared(paths.DATASET)
    index = read_split(role)
    data = TrainingData(
        train=prepared.images.take(index["train"]),
        test=prepared.images.take(index["test"]),
        uncropped=prepared.uncropped and prepared.uncropped.take(index["train"]),
    )
    checkpoint = obtain(params, role, prepared.dataset, data)
    checkpoints.save(paths.CLASSIFIERS / role / "model", checkpoint)
    log_with_dvclive(role, checkpoint.card)


def obtain(params: Params, role: str, dataset: Dataset, data: TrainingData) -> Checkpoint:
    """Train the classifier, or take the pretrained one that this training would give."""
    recipe = recipe_of(params, role)
    if params.train.source == "pretrained":
        stems = sorted(
            p.with_suffix("") for p in paths.PRETRAINED_CLASSIFIERS.glob(f"*/{role}.json")
        )
        card = checkpoints.data_card(dataset.name, data.train)
        card["split"] = {
            "dataset": dataset.name,
            "method": params.split.method,
            "seed": params.seed,
            "train_size": params.split.train_size,
        }
        what = f"{role} classifier"
        stem = checkpoints.fitting(stems, what, recipe.params, card, "train.source")
        checkpoint = checkpoints.load(stem)
        if checkpoint.card["metrics"]:
            return checkpoint
        return recipes.measured(dataset, data, checkpoint, pick_device())
    epochs = recipe.config.epochs
    with tqdm(total=epochs, desc=f"train {role}", unit="epoch", mininterval=1.0) as bar:

        def show(result: EpochResult) -> None:
            bar.set_postfix_str(
                f"loss {result.train_loss:.4f}, test accuracy {result.test_accuracy:.3f}"
            )
            bar.update()

        return recipes.train(dataset, data, recipe, pick_device(), show)


def recipe_of(params: Params, role: str) -> Recipe:
    """Return what decides about the weights of `role`."""
    seed = derive_seed(params.seed, "train", role)
    return classifier_recipe(params.train, seed, params.train.source == "scratch")


def log_with_dvclive(role: str, card: Card) -> None:
    """Write the card's history as DVCLive curves, its metrics as the role's metrics."""
    with tempfile.TemporaryDirectory() as scratch:
        with Live(scratch, dvcyaml=None, save_dvc_exp=False, monitor_system=False) as live:
            for epoch in card["history"]:
                live.step = epoch["epoch"]
                for curve in CURVES:
                    live.log_metric(curve, epoch[curve])
        with files.atomic_folder(paths.PLOTS / "training" / role) as fresh:
            shutil.copytree(Path(scratch) / "plots" / "metrics", fresh, dirs_exist_ok=True)
    files.write_json(paths.METRICS / f"train_{role}.json", card["metrics"])
