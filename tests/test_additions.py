"""Something new of every kind, added in a copy as README's table says, run and shown."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers import ROOT, clone_working_tree, run, set_params, without_study

pytestmark = pytest.mark.pipeline
ATTACK = '''
"""The margin attack: a large gap between the two largest scores speaks for a member."""

import numpy as np
from pydantic import Field

from trustmia.attacks.base import Attack, FittedAttack, LearnedForm
from trustmia.settings import Section


class Settings(Section):
    """The margin attack."""

    bound: float = Field(0.9, ge=0, le=1, description="largest gap of a non-member")


def gap(values):
    ordered = np.sort(values, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def fit(scores, member, settings, seed):
    return FittedAttack(
        score=gap,
        rank=lambda logits: gap(logits.astype(np.float64)),
        decide=lambda gaps: gaps > settings.bound,
        learned={"margin_bound": settings.bound},
        notes=(),
    )


ATTACK = Attack(Settings, (LearnedForm("margin", "Margin", fit),))
'''
DATA_SET = '''
"""Blobs: noisy images with a bright bar at one of three heights."""

import numpy as np

from trustmia.datasets.base import DatasetSource
from trustmia.images.base import Images


def load(data, part):
    rng = np.random.default_rng(0)
    labels = np.arange(900) % 3
    pixels = rng.integers(0, 156, (900, 1, 28, 28), dtype=np.uint8)
    for label in range(3):
        pixels[labels == label, :, 8 * label : 8 * label + 8] += 99
    return Images(pixels, labels)


SOURCE = DatasetSource(
    name="blobs",
    title="Blobs",
    classes=("top", "middle", "bottom"),
    channels=1,
    mean=(0.3,),
    std=(0.2,),
    files=(),
    load=load,
    archives=(),
)
'''
ARCHITECTURE = '''
"""One hidden layer."""

from torch import nn

from trustmia.classifiers.architectures.base import Classifier


class Perceptron(Classifier):
    """Pixels to 32 hidden units to logits."""

    def __init__(self, channels, size, num_classes):
        super().__init__()
        self.hidden = nn.Linear(channels * size * size, 32)
        self.out = nn.Linear(32, num_classes)

    def features(self, images):
        return self.hidden(images.flatten(1)).relu()
'''
CALIBRATION = '''
"""Logits that are halved."""

from trustmia.calibration.base import Method
from trustmia.calibration.temperature import Temperature

HALVED = Method(fit=lambda inputs: Temperature(2.0), load=lambda tensors: Temperature(2.0))
'''
IMAGE_SET = '''
"""Held-out images upside down."""

from trustmia.images.base import Images


def upside_down(inputs):
    """Return the held-out images, their rows in reverse."""
    images = inputs.held_out
    return Images(images.pixels[:, :, ::-1].copy(), images.labels)
'''


@dataclass(frozen=True)
class Addition:
    """What a person adds.

    Attributes:
        name: Its name in the registry and of its file.
        line: Its line in the registry.
        before: What the line that it is put before begins with.
        code: Its file; none if a line is all.
    """

    name: str
    line: str
    before: str
    code: str = ""


# By what README's table calls them.
ADDITIONS = {
    "attack": Addition(
        "margin", '"margin": "trustmia.attacks.margin:ATTACK",', '"threshold": ', ATTACK
    ),
    "data set": Addition(
        "blobs", '"blobs": "trustmia.datasets.blobs:SOURCE",', '"cifar10": ', DATA_SET
    ),
    "architecture": Addition(
        "perceptron",
        '"perceptron": "trustmia.classifiers.architectures.perceptron:Perceptron",',
        '"salem_cnn": ',
        ARCHITECTURE,
    ),
    "calibration": Addition(
        "halved", '"halved": "trustmia.calibration.halved:HALVED",', '"none": ', CALIBRATION
    ),
    "image set": Addition(
        "upside_down",
        '"upside_down": ImageSet('
        '"Upside down", "trustmia.image_sets.upside_down:upside_down", of_held_out=True),',
        '"digits": ',
        IMAGE_SET,
    ),
    "metric": Addition(
        "missed",
        '"missed": Metric("missed members", "Share of members that are not called members.", '
        "lambda decided: 1 - decided.true_positives / decided.members, "
        '"members", shown=True, heading="Missed"),',
        '"recall": ',
    ),
}
PARAMS = {
    "threads": 1,
    "dataset.name": "blobs",
    "split.pool_size": 600,
    "split.generator_holdout_size": 60,
    "split.train_size": 90,
    "split.validation_size": 60,
    "split.test_size": 90,
    "split.attack_members": 90,
    "split.attack_nonmembers": 90,
    "train.arch": "perceptron",
    "train.epochs": 5,
    "calibration.method": "halved",
    "references.count": 0,
    "generator.source": "scratch",
    "judge.source": "scratch",
    "generator.epochs": 1,
    "judge.epochs": 1,
    "generator.width": 4,
    "generator.discriminator_width": 4,
    "generate.num_images": 60,
    "image_sets.nonmember_sets": ["original", "upside_down", "fake"],
    "predict.feature_images": 30,
    "attack.methods": ["threshold", "margin"],
    "attack.resamples": 50,
}


def table() -> dict[str, list[str]]:
    """Return the paths in each row of README's table by what is new."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z ]+) \| (.*(?:src/|none).*) \|$", text, re.MULTILINE)
    return {new: re.findall(r"`(src/[^`]+)`", paths) for new, paths in rows}


def add(place: Path, addition: Addition, paths: list[str]) -> None:
    """Write the file that the README names, and the line in the registry that it names."""
    *own, registry = (place / path.replace("NAME", addition.name) for path in paths)
    assert bool(own) == bool(addition.code)
    for path in own:
        assert not path.exists()
        path.write_text(addition.code)
    lines = registry.read_text(encoding="utf-8").splitlines()
    number = next(n for n, line in enumerate(lines) if line.lstrip().startswith(addition.before))
    lines.insert(number, f"    {addition.line}")
    registry.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a copy with one new thing of every kind, and the run of an experiment with them."""
    place = clone_working_tree(tmp_path_factory.mktemp("extended") / "trustmia")
    run(place, "dvc", "pull", "data.dvc", "models.dvc")
    without_study(place)
    for new, paths in table().items():
        add(place, ADDITIONS[new], paths)
    set_params(place, PARAMS)
    run(place, "dvc", "repro", "--quiet")
    yield place
    shutil.rmtree(place.parent)


def test_readme_names_every_kind_and_the_files_that_there_are() -> None:
    assert table().keys() == ADDITIONS.keys()
    for *_, registry in table().values():
        assert (ROOT / registry).is_file()


def test_models_are_of_the_new_architecture_data_set_and_calibration(extended: Path) -> None:
    card = json.loads((extended / "outputs/classifiers/target/model.json").read_text())
    assert (card["arch"], card["data"]["dataset"]) == ("perceptron", "blobs")
    fitted = json.loads((extended / "metrics/calibration_target.json").read_text())
    assert fitted["after"]["mmps"] < fitted["before"]["mmps"]


def test_results_have_the_new_attack_set_and_metric(extended: Path) -> None:
    results = pd.read_csv(extended / "metrics/results.csv")
    rows = results[(results["attack"] == "margin") & (results["set"] == "upside_down")]
    found = rows.set_index("metric")
    assert found.loc["missed", "value"] == pytest.approx(1 - found.loc["recall", "value"])
    assert found.loc["missed", ["low", "high"]].notna().all()
    printed = run(extended, "trustmia", "results").stdout
    assert "Margin Missed" in printed and "upside_down" in printed
    paper = pd.read_csv(extended / "metrics/attack_results.csv")
    assert "Margin Attack FPR" in paper.columns


def test_report_shows_them(extended: Path) -> None:
    page = (extended / "reports/index.html").read_text(encoding="utf-8")
    for title in ("Margin", "Upside down", "Missed members"):
        assert title in page, title


def test_command_line_knows_them(extended: Path, tmp_path: Path) -> None:
    scores = [f"--{role}={extended}/outputs/scores/{role}.npz" for role in ("shadow", "target")]
    command = ["trustmia", "audit", *scores, "--attacks", "margin", "--resamples", "0"]
    printed = run(
        extended, *command, "-S", "margin.bound=0.25", "--out", str(tmp_path / "a")
    ).stdout
    assert "Margin" in printed and "upside_down" in printed
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["parameters"] == {"margin_bound": 0.25}
    refused = run(extended, *command, "-S", "margin.bound=2", "--out", str(tmp_path), code=2)
    assert "margin.bound: got 2; allowed: " in refused.stderr
    assert "margin.bound" in run(extended, "trustmia", "audit", "--help").stdout


def test_params_name_what_is_allowed(extended: Path) -> None:
    params = extended / "params.yaml"
    before = params.read_text(encoding="utf-8")
    for key, value in PARAMS.items():
        if value in [addition.name for addition in ADDITIONS.values()]:
            set_params(extended, {key: "unheard_of"})
            stopped = run(extended, "python", "src/stage.py", "split", code=2)
            assert f"{key}: got 'unheard_of'; allowed: one of " in stopped.stderr
            assert str(value) in stopped.stderr
            params.write_text(before, encoding="utf-8")
