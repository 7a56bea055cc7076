"""`params.yaml` as typed, validated models: the one place that knows its keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from trustmia.attacks import ATTACKS
from trustmia.attacks.reference import FAMILIES
from trustmia.calibration import METHODS
from trustmia.classifiers import AUGMENTATIONS
from trustmia.classifiers.architectures import ARCHITECTURES
from trustmia.datasets import DATASETS
from trustmia.errors import UserError
from trustmia.image_sets import HELD_OUT, IMAGE_SETS
from trustmia.image_sets.views import VIEWS
from trustmia.images import Fit
from trustmia.references import Parallel
from trustmia.settings import Count, Precision, Rate, Section
from trustmia.splits import PUBLISHED_SPLITS, SplitParams
from trustmia.yaml_files import read_yaml

Threads = Annotated[int, Field(ge=1, le=1024)]
Source = Literal["pretrained", "scratch"]


def _member_of(registry: Callable[[], Any]) -> BeforeValidator:
    """Allow the names of a registry, and no other."""

    def check(name: object) -> object:
        if not isinstance(name, str) or name not in registry():
            raise ValueError(f"one of {', '.join(registry())}")
        return name

    return BeforeValidator(check)


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("no name twice")
    return names


Distinct = AfterValidator(_distinct)


def _plain_name(name: str) -> str:
    if Path(name).name != name:
        raise ValueError("the name of a file, without folders")
    return name


def _four_decimals(value: float) -> float:
    if round(value, 4) != value:
        raise ValueError("four decimals, as Ray counts")
    return value


FourDecimals = AfterValidator(_four_decimals)
FileName = Annotated[str, AfterValidator(_plain_name)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DatasetParams(Section):
    """What target and shadow are trained on."""

    name: Annotated[str, _member_of(lambda: DATASETS)]
    size: Annotated[int, Field(ge=8, le=1024)]
    fit: Fit


class TrainParams(Section):
    """Training of target and shadow."""

    source: Source
    arch: Annotated[str, _member_of(lambda: ARCHITECTURES)]
    initial_weights: FileName | None
    augmentation: Annotated[str, _member_of(lambda: AUGMENTATIONS)]
    epochs: Count
    batch_size: Count
    lr: Rate
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    precision: Precision


class LllaParams(Section):
    """The last-layer Laplace approximation."""

    link: Literal["probit", "mc"]
    samples: Annotated[int, Field(ge=1, le=10**5)]
    prior: Literal["nll", "paper"]


class CalibrationParams(Section):
    """What is done to a trained model's scores."""

    method: Annotated[str, _member_of(lambda: METHODS)]
    temperature: Literal["fit"] | Annotated[float, Field(ge=1e-6, le=1e6)]
    llla: LllaParams


class ReferenceParams(Section):
    """The models that attacks compare the target with."""

    count: Annotated[int, Field(ge=0, le=10**4, multiple_of=2)]
    epochs: Count | None
    threads: Threads
    executor: Literal["local", "ray"]
    parallel: Parallel
    stack_size: Count
    ray_address: str | None
    cpus_per_model: Annotated[float, Field(gt=0, le=10**4), FourDecimals]
    gpus_per_model: Annotated[float, Field(ge=0, le=10**3), FourDecimals]


class GeneratorParams(Section):
    """The generative model of the fake images."""

    source: Source | Literal["stylegan2_ada"]
    stylegan2_ada_repo: str | None
    stylegan2_ada_pickle: FileName | None
    stylegan2_ada_sha256: Sha256 | None
    epochs: Count
    batch_size: Annotated[int, Field(ge=2, le=10**6)]
    lr: Rate
    latent_dim: Count
    width: Count
    discriminator_width: Count
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    judge_epochs: Annotated[int, Field(ge=0, le=10**9)]
    precision: Precision


class GenerateParams(Section):
    """The fake images."""

    num_images: Annotated[int, Field(ge=2, le=10**7)]
    truncation: Annotated[float, Field(gt=0, le=10)]
    truncation_psi: Annotated[float, Field(ge=0, le=1)]
    batch_size: Count
    precision: Precision


class PredictParams(Section):
    """What is shown to the models."""

    nonmember_sets: Annotated[
        list[Annotated[str, _member_of(lambda: IMAGE_SETS)]], Field(min_length=1), Distinct
    ]
    max_images: Count | None
    max_fakes: Count | None
    num_patches: Count
    feature_images: Count
    views: Annotated[list[Annotated[str, _member_of(lambda: VIEWS)]], Field(min_length=1), Distinct]
    batch_size: Count
    precision: Precision

    def datasets(self) -> list[str]:
        """Return the published data sets whose images are shown."""
        shown = [IMAGE_SETS[name].dataset for name in self.nonmember_sets]
        return [name for name in shown if name is not None]


class LiraParams(Section):
    """LiRA."""

    variance: Literal["per_example", "global", "auto"]


class RmiaParams(Section):
    """RMIA."""

    a: Literal["tune"] | Annotated[float, Field(ge=0, le=1)]
    gamma: Annotated[float, Field(gt=0, le=1e6)]


class AttackParams(Section):
    """The attacks."""

    methods: Annotated[
        list[Annotated[str, _member_of(lambda: (*ATTACKS, *FAMILIES))]],
        Field(min_length=1),
        Distinct,
    ]
    lira: LiraParams
    rmia: RmiaParams
    resamples: Annotated[int, Field(ge=0, le=10**6)]
    salem_k: Annotated[int, Field(ge=1, le=1000)]
    salem_lr: Rate
    salem_batch_size: Count
    salem_max_epochs: Count


class Params(Section):
    """The whole of `params.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Threads
    dataset: DatasetParams
    split: SplitParams
    train: TrainParams
    calibration: CalibrationParams
    references: ReferenceParams
    generator: GeneratorParams
    generate: GenerateParams
    predict: PredictParams
    attack: AttackParams


# pydantic's words where they would not help the person who reads them
WORDING = {
    "too_short": "at least one name",
    "model_type": "a section with keys of its own",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a name",
    "list_type": "a list of names",
    "none_required": "null",
    "string_pattern_mismatch": "64 hexadecimal digits",
    "invalid_key": "keys that are text",
}


def _names(model: type[BaseModel]) -> set[str]:
    """Return the names of all keys; pydantic's locations hold other words beside them."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= _names(field.annotation)
    return names


NAMES = _names(Params)


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and validate the parameters.

    Raises:
        UserError: The file is missing, is not YAML, or a key is unknown, missing, of the
            wrong type or out of range. The message names the key and what is allowed.
    """
    content = read_yaml(path, f"run from the root of the repository, or `git restore {path}`")
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no parameters; `git restore {path}` brings back its keys")
    return validated(content, str(path))


def validated(content: dict[str, Any], name: str) -> Params:
    """Return parameters that go together, from plain values; `name` is for messages.

    Raises:
        UserError: See `load_params`.
    """
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{name}: {_explain(error.errors())}") from error
    contradiction = _contradiction(params)
    if contradiction:
        raise UserError(f"{name}: {contradiction}")
    return params


def _contradiction(params: Params) -> str | None:
    """Say which parameters, each valid by itself, do not go together."""
    dataset, generator = params.dataset.name, params.generator
    for name in params.predict.nonmember_sets:
        if IMAGE_SETS[name].dataset == dataset:
            return (
                f"predict.nonmember_sets: {name!r} has members among its images, as dataset.name "
                f"is {dataset}; take it out, or show `{HELD_OUT}`"
            )
    if params.split.method == "published" and dataset not in PUBLISHED_SPLITS:
        allowed = ", ".join(PUBLISHED_SPLITS)
        return f"split.method: got 'published' for {dataset}; allowed for {allowed}"
    if not set(params.attack.methods) & set(ATTACKS):
        return f"attack.methods: holds none of {', '.join(ATTACKS)}; allowed: at least one of them"
    if HELD_OUT not in params.predict.nonmember_sets:
        return f"predict.nonmember_sets: lacks {HELD_OUT}, the held-out images; add it"
    if generator.source == "stylegan2_ada":
        for key in ("stylegan2_ada_repo", "stylegan2_ada_pickle"):
            if getattr(generator, key) is None:
                return f"generator.{key}: got null; needed where generator.source is stylegan2_ada"
    return None


def _explain(details: list[ErrorDetails]) -> str:
    """Say in words which keys are wrong and what is allowed."""
    problems: dict[str, str] = {}
    for detail in details:
        location = [part for part in detail["loc"] if str(part) in NAMES or isinstance(part, int)]
        key = ".".join(str(part) for part in location)
        if detail["type"] == "extra_forbidden":
            *section, _ = detail["loc"]
            key = ".".join(str(part) for part in detail["loc"])
            problems[key] = f"unknown key; allowed: {', '.join(_allowed_keys(section))}"
        elif detail["type"] == "missing":
            problems[key] = "missing; `git diff params.yaml` shows what was removed"
        else:
            allowed = WORDING.get(detail["type"]) or detail["msg"]
            allowed = allowed.removeprefix("Value error, ").removeprefix("Input should be ")
            before = problems.get(key)
            got = f"got {detail['input']!r}; allowed: {allowed}"
            problems[key] = f"{before} or {allowed}" if before else got
    return "; ".join(f"{key}: {problem}" for key, problem in problems.items())


def _allowed_keys(location: list[str | int]) -> list[str]:
    model: type[BaseModel] = Params
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)
