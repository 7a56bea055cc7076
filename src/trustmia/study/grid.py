"""Which experiments a study consists of, in which order, and which wait for which."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from trustmia.errors import UserError
from trustmia.params import Params, load_params, validated
from trustmia.settings import WORDING
from trustmia.yaml_files import read_yaml

# Sections of params.yaml that no training depends on.
BEHIND_TRAINING = {"calibration", "generate", "image_sets", "predict", "attack"}

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Changes = dict[str, Any]


class StudyConfig(BaseModel):
    """The content of a study's YAML file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    common: Changes = {}
    variants: Annotated[dict[Name, Changes], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    targets: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


@dataclass(frozen=True)
class Experiment:
    """One experiment of a study.

    Attributes:
        variant: Name of its variant.
        params: All its parameters.
        overrides: What `dvc exp run --set-param` is given, `key=value` each.
    """

    variant: str
    params: Params
    overrides: tuple[str, ...]

    @property
    def seed(self) -> int:
        """The seed of all its random choices."""
        return self.params.seed

    @property
    def name(self) -> str:
        """The name of the DVC experiment."""
        return f"{self.variant}-s{self.seed}"


@dataclass(frozen=True)
class Grid:
    """A study.

    Attributes:
        experiments: Seed by seed, the variants in the file's order.
        targets: Stages to reproduce.
    """

    experiments: tuple[Experiment, ...]
    targets: tuple[str, ...]


def load_grid(path: Path, params: Path = Path("params.yaml")) -> Grid:
    """Read a study's file and apply every variant to the parameters.

    Args:
        path: The study's YAML file.
        params: The parameters that variants change.

    Raises:
        UserError: The file is missing, is not YAML or has other keys; a variant changes
            a parameter that does not exist or to what is not allowed; two are the same.
    """
    config = _read_config(path)
    base = load_params(params)
    experiments = []
    for seed in config.seeds:
        for variant, own in config.variants.items():
            changes = {"seed": seed, **config.common, **own}
            applied = _apply(base, changes, f"{path}: variant {variant}")
            overrides = tuple(f"{key}={_override(value)}" for key, value in changes.items())
            experiments.append(Experiment(variant, applied, overrides))
    _refuse_duplicates(path, experiments)
    return Grid(tuple(experiments), tuple(config.targets))


def _read_config(path: Path) -> StudyConfig:
    remedy = "studies/default.yaml is the default, in the root of the repository"
    content = read_yaml(path, remedy)
    if not isinstance(content, dict):
        keys = ", ".join(StudyConfig.model_fields)
        raise UserError(f"{path}: no study; its keys are {keys}, as in studies/default.yaml")
    try:
        config = StudyConfig.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(map(_explain, error.errors()))}") from error
    places = {"common": config.common} | {f"variant {k}": v for k, v in config.variants.items()}
    for place, changes in places.items():
        if "seed" in changes:
            raise UserError(f"{path}: {place}: seed is set by `seeds`; take it out")
        for key, value in changes.items():
            if isinstance(value, dict):
                inner = next(iter(value), "…")
                raise UserError(
                    f"{path}: {place}: {key} is a section; allowed: full keys, as {key}.{inner}"
                )
    return config


def _explain(detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed: {', '.join(StudyConfig.model_fields)}"
    if detail["type"] == "missing":
        return f"{key}: missing; see studies/default.yaml"
    if detail["type"] == "string_pattern_mismatch":
        return f"{key}: allowed in names: letters, digits, _ and -"
    allowed = {
        "dict_type": "keys of params.yaml and their values",
        "list_type": "a list",
        "too_short": "at least one",
    }.get(detail["type"], WORDING.get(detail["type"], detail["msg"]))
    return f"{key}: got {detail['input']!r}; allowed: {allowed.removeprefix('Input should be ')}"


def _apply(base: Params, changes: Mapping[str, Any], where: str) -> Params:
    """Return parameters with changed values, checked as `params.yaml` itself is."""
    content = base.model_dump()
    for key, value in changes.items():
        *sections, name = key.split(".")
        place: Any = content
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise UserError(f"{where}: {key}: {section} of params.yaml has no keys of its own")
        place[name] = value
    return validated(content, where)


def _override(value: object) -> str:
    """Return a value in the grammar of `dvc exp run --set-param`."""
    if isinstance(value, str):
        return value if value.replace("_", "").isalnum() else f"'{value}'"
    if isinstance(value, list):
        return f"[{','.join(map(_override, value))}]"
    return json.dumps(value)


def _refuse_duplicates(path: Path, experiments: Iterable[Experiment]) -> None:
    seen: dict[str, Experiment] = {}
    for experiment in experiments:
        other = seen.setdefault(experiment.params.model_dump_json(), experiment)
        if other is not experiment:
            raise UserError(
                f"{path}: {experiment.name} has the parameters of {other.name}; leave one out"
            )


def waiting(experiments: Iterable[Experiment]) -> dict[str, set[str]]:
    """Say which experiments are to start only after others.

    The first experiment with a seed makes what all with this seed share (splits, fakes),
    the first one with certain trainings what all that share these do. The others then
    find it in DVC's run cache; at the same time, both would compute it.

    Returns:
        Names of the experiments that each one waits for, itself excluded.
    """
    experiments = list(experiments)
    trains = leaders(experiments, trainings)
    starts = leaders(experiments, lambda experiment: experiment.seed)
    return {name: {starts[name], trains[name]} - {name} for name in starts}


def leaders(
    experiments: Iterable[Experiment], key: Callable[[Experiment], object]
) -> dict[str, str]:
    """Return by each experiment's name that of the first one with the same key."""
    first: dict[object, str] = {}
    return {e.name: first.setdefault(key(e), e.name) for e in experiments}


def trainings(experiment: Experiment) -> str:
    """Return what is the same for experiments with the same trainings."""
    return experiment.params.model_dump_json(exclude=BEHIND_TRAINING)
