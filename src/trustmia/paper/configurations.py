"""The paper's experiments: what each sets in `params.yaml`, and that file with it set.

Every configuration sets every key that any of them sets, so that it does not matter which one
was there before; all other keys of the file are the user's.
"""

from pathlib import Path
from typing import Any, NamedTuple

from trustmia.errors import UserError
from trustmia.params import validated
from trustmia.yaml_files import parse_yaml, read_yaml, with_values

Values = dict[str, Any]


class Configuration(NamedTuple):
    """One of the paper's experiments.

    Attributes:
        title: What it is, in words.
        values: What it sets in `params.yaml`, by full keys.
    """

    title: str
    values: Values


COMMON: Values = {
    "seed": 42,
    "split.method": "published",
    "references.count": 0,
    "attack.methods": ["threshold", "entropy", "salem"],
    "train.initial_weights": None,
    "train.augmentation": "none",
    "train.epochs": 100,
    "train.batch_size": 64,
    "train.lr": 0.01,
    "train.weight_decay": 0.0,
    "train.label_smoothing": 0.0,
    "train.precision": "fp32",
    "calibration.method": "none",
    "calibration.temperature": "fit",
    "calibration.llla.link": "probit",
    "calibration.llla.samples": 100,
    "calibration.llla.prior": "nll",
    "generator.source": "stylegan2_ada",
    "generator.stylegan2_ada_repo": "stylegan2-ada-pytorch",
    "generator.stylegan2_ada_sha256": None,
    "judge.source": "scratch",
    "image_sets.max_fakes": 2500,
}

CIFAR10: Values = COMMON | {
    "dataset.name": "cifar10",
    "dataset.size": 32,
    "dataset.fit": "stretch",
    "split.pool_size": 40000,
    "split.generator_holdout_size": 5000,
    "split.train_size": 12500,
    "split.validation_size": 2500,
    "split.test_size": 5000,
    "split.attack_members": 2500,
    "split.attack_nonmembers": 2500,
    "generator.stylegan2_ada_pickle": "cifar10.pkl",
    "judge.epochs": 8,
    "generate.num_images": 10000,
    "generate.truncation_psi": 1.0,
    "generate.batch_size": 125,
    "image_sets.nonmember_sets": [
        *("original", "permuted", "scaled", "no_normalization", "stl10", "cifar100", "svhn"),
        *("stanford_dogs", "fake", "afhq_dogs", "afhq_cats"),
    ],
    "image_sets.max_images": 2500,
}

STANFORD_DOGS: Values = COMMON | {
    "dataset.name": "stanford_dogs",
    "dataset.size": 224,
    "dataset.fit": "crop",
    "split.pool_size": 20580,
    "split.generator_holdout_size": 0,
    "split.train_size": 8232,
    # No image is left to fit a calibration on; the paper takes the test images, too.
    "split.validation_size": 0,
    "split.test_size": 2058,
    "split.attack_members": 2058,
    "split.attack_nonmembers": 2058,
    "train.arch": "resnet50",
    "train.initial_weights": "resnet50-0676ba61.pth",
    "train.augmentation": "rotate_crop_flip",
    "generator.stylegan2_ada_pickle": "afhqdog.pkl",
    "judge.epochs": 0,
    "generate.num_images": 5000,
    "generate.truncation_psi": 0.7,
    # At 512 pixels, what fits an ordinary GPU.
    "generate.batch_size": 16,
    "image_sets.nonmember_sets": [
        *("original", "fake", "afhq_dogs", "afhq_cats", "afhq_wilds", "afhq_non_dogs"),
        *("permuted", "scaled", "no_normalization"),
    ],
    "image_sets.max_images": None,
}

MODELS: dict[str, Configuration] = {
    "cifar10_resnet18": Configuration("CIFAR-10, ResNet-18", CIFAR10 | {"train.arch": "resnet18"}),
    "cifar10_efficientnet_b0": Configuration(
        "CIFAR-10, EfficientNet-B0", CIFAR10 | {"train.arch": "efficientnet_b0"}
    ),
    "cifar10_salem_cnn": Configuration(
        "CIFAR-10, Salem CNN", CIFAR10 | {"train.arch": "salem_cnn", "train.lr": 0.001}
    ),
    "stanford_dogs_resnet50": Configuration("Stanford Dogs, ResNet-50", STANFORD_DOGS),
}


def defences(dataset: str) -> dict[str, Configuration]:
    """Return the paper's defences, by the ending of a configuration's name."""
    smoothing, decay = (0.0083, 0.0003) if dataset == "cifar10" else (0.1, 0.001)
    temperature: Values = {"calibration.method": "temperature"}
    llla = {
        "calibration.method": "llla",
        "calibration.llla.link": "mc",
        "calibration.llla.prior": "paper",
    }
    return {
        "": Configuration("standard training", {}),
        "_label_smoothing": Configuration(
            f"label smoothing {smoothing}", {"train.label_smoothing": smoothing}
        ),
        "_l2": Configuration(f"L2 regularisation {decay}", {"train.weight_decay": decay}),
        "_llla": Configuration("last-layer Laplace approximation", llla),
        "_temperature": Configuration("fitted temperature", temperature),
        "_temperature_10": Configuration(
            "temperature 10", temperature | {"calibration.temperature": 10.0}
        ),
    }


CONFIGURATIONS: dict[str, Configuration] = {
    f"{name}{ending}": Configuration(
        f"{model.title}, {defence.title}", model.values | defence.values
    )
    for name, model in MODELS.items()
    for ending, defence in defences(model.values["dataset.name"]).items()
}


def configured(path: Path, name: str) -> str:
    """Return a parameter file with the values of a configuration, and else as it is.

    The file is in the form of `params.yaml`; the name is one of `CONFIGURATIONS`.

    Raises:
        UserError: The file is missing, lacks a key, or has others that the configuration
            does not go with (see `params.load_params`).
    """
    remedy = f"`git restore {path}` brings it back"
    read_yaml(path, "run from the root of the repository, or name one with --params")
    try:
        text = with_values(path.read_text(encoding="utf-8"), CONFIGURATIONS[name].values)
    except KeyError as error:
        raise UserError(f"{path}: lacks {error.args[0]}; {remedy} as it was committed") from error
    validated(parse_yaml(text), str(path))
    return text
