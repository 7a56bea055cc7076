"""The paper's experiments from download to table, with miniatures of everything published."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.datasets.miniatures import Miniatures, stand_in_repository
from tests.datasets.servers import FileServer, serving
from tests.helpers import (
    clone_working_tree,
    documented,
    git,
    run,
    set_params,
    stages_run,
)
from trustmia.commands.fetch import NAMES
from trustmia.measures.table import read_results
from trustmia.measures.views import nested
from trustmia.paper.configurations import configured
from trustmia.params import load_params

pytestmark = pytest.mark.pipeline
CIFAR10 = {
    "split.generator_holdout_size": 60,
    "split.train_size": 100,
    "split.validation_size": 40,
    "split.test_size": 60,
    "split.attack_members": 50,
    "split.attack_nonmembers": 50,
    "train.epochs": 2,
    "judge.epochs": 1,
    "generate.num_images": 100,
    "image_sets.max_images": 50,
    "image_sets.max_fakes": 50,
    "attack.salem.max_epochs": 20,
}
DOGS = {
    "dataset.size": 32,
    "split.pool_size": 240,
    "split.train_size": 96,
    "split.test_size": 24,
    "split.attack_members": 24,
    "split.attack_nonmembers": 24,
    "train.epochs": 1,
    "train.lr": 0.0001,
    "generate.num_images": 30,
    "attack.salem.max_epochs": 20,
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone with the pretrained models and no data set."""
    place = clone_working_tree(tmp_path_factory.mktemp("bare") / "trustmia")
    run(place, "dvc", "pull", "models.dvc")
    return place


@pytest.fixture(scope="module")
def paper(bare: Path) -> Iterator[tuple[Path, FileServer]]:
    """Return a clone for which miniatures are what is published, and their server."""
    repository = stand_in_repository(bare / "stylegan2-ada-pytorch")
    miniatures = Miniatures(NAMES, repository)
    miniatures.count_as_published(bare)
    with serving(miniatures.served) as server:
        yield bare, server


def use(place: Path, configuration: str, changes: dict[str, object]) -> None:
    params = place / "params.yaml"
    params.write_text(configured(params, configuration), encoding="utf-8")
    set_params(place, changes)


def check_sets(place: Path, count: int) -> list[str]:
    """Return the sets that parameters name; the results have to be of each."""
    sets = load_params(place / "params.yaml").image_sets.nonmember_sets
    with (place / "metrics/attack_results.csv").open(newline="") as stream:
        assert [row["Set"] for row in csv.DictReader(stream)] == sets
    assert len(sets) == count
    return sets


@pytest.mark.parametrize(
    "configuration", ["cifar10_resnet18", "cifar10_salem_cnn_llla", "stanford_dogs_resnet50"]
)
def test_a_configuration_walks_through_a_dry_run(configuration: str, pulled: Path) -> None:
    stages = run(pulled, "dvc", "stage", "list", "--name-only").stdout.split()
    use(pulled, configuration, {})
    try:
        walked = stages_run(run(pulled, "dvc", "repro", "--dry", "--force").stdout)
    finally:
        git(pulled, "restore", "params.yaml")
    assert sorted(walked) == sorted(stages)


def test_missing_data_stop_the_first_stage_with_the_command_that_gets_them(bare: Path) -> None:
    use(bare, "cifar10_resnet18", {})
    (bare / "data").mkdir(exist_ok=True)
    failed = run(bare, "python", "src/stage.py", "prepare_dataset", code=2)
    assert "run `trustmia fetch cifar10 stl10 cifar100 svhn stanford_dogs afhq`" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_cifar10_runs_from_download_to_table_as_the_readme_says(
    paper: tuple[Path, FileServer],
) -> None:
    place, server = paper
    printed = {}
    for command in documented("README.md", "paper"):
        if command.startswith("git clone"):
            assert (place / command.rsplit("/", maxsplit=1)[1]).is_dir(), "its stand-in"
            continue
        words = command.replace("cifar10_resnet18", "cifar10_salem_cnn").split()
        if command.startswith("trustmia fetch"):
            set_params(place, dict(CIFAR10))
            words += ["--mirror", server.url]
        words += ["--out", "compared.csv"] if command == "trustmia compare-paper" else []
        printed[command] = run(place, *words).stdout
    fetched = printed["trustmia fetch --all"]
    assert fetched.count("verified, from") == 7 and "`dvc add data`" in fetched
    assert not any((place / "downloads").iterdir())
    sets = check_sets(place, 11)
    quality = json.loads((place / "metrics/generator.json").read_text())
    assert 0 <= quality["fake"]["recognised"] <= 1
    table = run(place, "trustmia", "results").stdout
    assert all(name in table for name in sets)
    compared = printed["trustmia compare-paper"]
    assert "The paper's configuration: cifar10_salem_cnn" in compared
    assert "train.epochs 2 instead of 100" in compared
    with (place / "compared.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 11 * 3 * 5
    assert all(row["run"] and row["paper"] for row in rows)


def test_stanford_dogs_run_from_download_to_table(paper: tuple[Path, FileServer]) -> None:
    place, server = paper
    use(place, "stanford_dogs_resnet50", dict(DOGS))
    run(place, "trustmia", "fetch", "--all", "--mirror", server.url)
    run(place, "dvc", "add", "data", "models")
    run(place, "dvc", "repro", "attack", "evaluate_generator")
    check_sets(place, 9)
    sizes = nested(read_results(place / "metrics/results.csv"))["sizes"]
    assert sizes["afhq_non_dogs"] == 2 * sizes["afhq_cats"] == 60
    card = json.loads((place / "outputs/classifiers/target/model.json").read_text())
    assert card["params"]["train.initial_weights"] == "resnet50-0676ba61.pth"
    quality = json.loads((place / "metrics/generator.json").read_text())
    assert quality["fake"] == {"recognised": None, "frechet_distance": None}
    run(place, "trustmia", "compare-paper")
