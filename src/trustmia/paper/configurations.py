"""The paper's experiments as complete parameter files, made from `params.yaml`.

`make configurations` writes them to `configurations/`; a test holds them against this
table, so that a new parameter cannot be forgotten in one of them.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from trustmia import files
from trustmia.program import OneLineParser

FOLDER = Path("configurations")
Changes = dict[str, Any]

COMMON: Changes = {
    "seed": 42,
    "split.method": "published",
    "references.count": 0,
    "attack.methods": ["threshold", "entropy", "salem"],
    "train.epochs": 100,
    "train.batch_size": 64,
    "train.lr": 0.01,
    "train.precision": "fp32",
    "generator.source": "stylegan2_ada",
    "generator.stylegan2_ada_repo": "stylegan2-ada-pytorch",
    "image_sets.max_fakes": 2500,
}

CIFAR10: Changes = COMMON | {
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
    "generate.num_images": 10000,
    "image_sets.nonmember_sets": [
        *("original", "permuted", "scaled", "no_normalization", "stl10", "cifar100", "svhn"),
        *("stanford_dogs", "fake", "afhq_dogs", "afhq_cats"),
    ],
    "image_sets.max_images": 2500,
}

STANFORD_DOGS: Changes = COMMON | {
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

MODELS: dict[str, Changes] = {
    "cifar10_resnet18": CIFAR10 | {"train.arch": "resnet18"},
    "cifar10_efficientnet_b0": CIFAR10 | {"train.arch": "efficientnet_b0"},
    "cifar10_salem_cnn": CIFAR10 | {"train.arch": "salem_cnn", "train.lr": 0.001},
    "stanford_dogs_resnet50": STANFORD_DOGS,
}


def defences(dataset: str) -> dict[str, Changes]:
    """Return the paper's defences, by the ending of a configuration's name."""
    smoothing, decay = (0.0083, 0.0003) if dataset == "cifar10" else (0.1, 0.001)
    return {
        "": {},
        "_label_smoothing": {"train.label_smoothing": smoothing},
        "_l2": {"train.weight_decay": decay},
        "_llla": {
            "calibration.method": "llla",
            "calibration.llla.link": "mc",
            "calibration.llla.samples": 100,
            "calibration.llla.prior": "paper",
        },
        "_temperature": {"calibration.method": "temperature"},
        "_temperature_10": {"calibration.method": "temperature", "calibration.temperature": 10.0},
    }


def configurations() -> dict[str, Changes]:
    """Return what each of the paper's experiments changes in `params.yaml`, by its name."""
    return {
        f"{name}{ending}": changes | defence
        for name, changes in MODELS.items()
        for ending, defence in defences(changes["dataset.name"]).items()
    }


def render(template: str, changes: Mapping[str, Any]) -> str:
    """Return a parameter file with other values, its comments as they were.

    Args:
        template: Content of `params.yaml`: sections of lines `key: value # comment`.
        changes: Values by their full keys.

    Raises:
        KeyError: The template lacks a key.
    """
    left = dict(changes)
    text = "\n".join(_render_lines(template.splitlines(), left)) + "\n"
    if left:
        raise KeyError(f"params.yaml has no {', '.join(left)}")
    return text


def _render_lines(lines: list[str], left: Changes) -> Iterator[str]:
    sections: list[str] = []
    for line in lines:
        if match := re.match(r"( *)(\w+):\s*(#.*)?$", line):
            sections[len(match[1]) // 2 :] = [match[2]]
        match = re.match(r"( *)(\w+): (?!#)(.+?)( #.*)?$", line)
        key = ".".join([*sections[: len(match[1]) // 2], match[2]]) if match else ""
        if match and key in left:
            yield f"{match[1]}{match[2]}: {_as_yaml(left.pop(key))}{match[4] or ''}"
        else:
            yield line


def _as_yaml(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


def main() -> None:
    """Write every configuration."""
    template = Path("params.yaml").read_text(encoding="utf-8")
    for name, changes in configurations().items():
        files.write_text(FOLDER / f"{name}.yaml", render(template, changes))


if __name__ == "__main__":
    OneLineParser(description=__doc__).parse_args()
    main()
