"""`params.yaml` as typed, validated models: the one place that knows its keys."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, create_model

from trustmia.attacks import ATTACKS
from trustmia.attacks.base import Need
from trustmia.calibration import METHODS
from trustmia.calibration.settings import LllaParams
from trustmia.classifiers import AUGMENTATIONS, InferenceConfig, TrainConfig
from trustmia.classifiers.architectures import ARCHITECTURES
from trustmia.datasets import DATASETS
from trustmia.errors import UserError
from trustmia.generators import GanConfig
from trustmia.image_sets import HELD_OUT, IMAGE_SETS
from trustmia.image_sets.views import VIEWS
from trustmia.images import Fit
from trustmia.references import Parallel
from trustmia.settings import Count, Precision, Section, explain
from trustmia.splits import PUBLISHED_SPLITS, SplitParams
from trustmia.yaml_files import read_yaml

Threads = Annotated[int, Field(ge=1, le=1024)]
Source = Literal["pretrained", "scratch"]


def _only(allows: Callable[[Any], bool], allowed: str) -> Callable[[Any], Any]:
    """Return what refuses values other than those that are allowed, in words."""

    def check(value: Any) -> Any:
        if not allows(value):
            raise ValueError(allowed)
        return value

    return check


def _member_of(registry: Collection[str]) -> BeforeValidator:
    """Allow the names of a registry, and no other."""
    return BeforeValidator(
        _only(
            lambda name: isinstance(name, str) and name in registry, f"one of {', '.join(registry)}"
        )
    )


Distinct = AfterValidator(_only(lambda names: len(set(names)) == len(names), "no name twice"))
FourDecimals = AfterValidator(_only(lambda x: round(x, 4) == x, "four decimals, as Ray counts"))
PlainName = AfterValidator(
    _only(lambda name: Path(name).name == name, "the name of a file, without folders")
)
FileName = Annotated[str, PlainName]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DatasetParams(Section):
    """What target and shadow are trained on."""

    name: Annotated[str, _member_of(DATASETS)]
    size: Annotated[int, Field(ge=8, le=1024)]
    fit: Fit


class TrainParams(TrainConfig):
    """Training of target and shadow."""

    source: Source
    arch: Annotated[str, _member_of(ARCHITECTURES)]
    initial_weights: FileName | None
    augmentation: Annotated[str, _member_of(AUGMENTATIONS)]


class CalibrationParams(Section):
    """What is done to a trained model's scores."""

    method: Annotated[str, _member_of(METHODS)]
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


class GeneratorParams(GanConfig):
    """The generative model of the fake images."""

    source: Source | Literal["stylegan2_ada"]
    stylegan2_ada_repo: str | None
    stylegan2_ada_pickle: FileName | None
    stylegan2_ada_sha256: Sha256 | None


class JudgeParams(Section):
    """The classifier that judges the fake images."""

    source: Source
    epochs: Annotated[int, Field(ge=0, le=10**9)]
    precision: Precision


class GenerateParams(Section):
    """The fake images."""

    num_images: Annotated[int, Field(ge=2, le=10**7)]
    truncation: Annotated[float, Field(gt=0, le=10)]
    truncation_psi: Annotated[float, Field(ge=0, le=1)]
    batch_size: Count
    precision: Precision


class ImageSetParams(Section):
    """What the target is shown beside its members."""

    nonmember_sets: Annotated[
        list[Annotated[str, _member_of(IMAGE_SETS)]], Field(min_length=1), Distinct
    ]
    max_images: Count | None
    max_fakes: Count | None
    num_patches: Count

    def datasets(self) -> list[str]:
        """Return the published data sets whose images are shown."""
        datasets = [IMAGE_SETS[name].dataset for name in self.nonmember_sets]
        return [name for name in datasets if name is not None]


class PredictParams(InferenceConfig):
    """How models are shown images, and what of that is kept."""

    feature_images: Count
    views: Annotated[list[Annotated[str, _member_of(VIEWS)]], Field(min_length=1), Distinct]


class AttackParams(Section):
    """The attacks; `Composed` has a section for each that has settings.

    A section is whole, or missing: then its attack's defaults hold, as of one that is new.
    """

    methods: Annotated[list[Annotated[str, _member_of(ATTACKS)]], Field(min_length=1), Distinct]
    resamples: Annotated[int, Field(ge=0, le=10**6)]

    def settings(self) -> dict[str, Section]:
        """Return each attack's own section."""
        return {
            name: getattr(self, name, None) or attack.settings() for name, attack in ATTACKS.items()
        }


def _required(settings: type[Section]) -> type[Section]:
    """Return a section all keys of which have to be there."""
    keys = {
        key: (Annotated[field.annotation, Field(), *field.metadata], ...)
        for key, field in settings.model_fields.items()
    }
    return create_model(settings.__name__, __base__=settings, **keys)  # type: ignore[call-overload]


if TYPE_CHECKING:
    Composed = AttackParams
else:
    Composed = create_model(
        "Composed",
        __base__=AttackParams,
        **{
            name: (_required(attack.settings), attack.settings())
            for name, attack in ATTACKS.items()
            if attack.settings.model_fields
        },
    )


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
    judge: JudgeParams
    image_sets: ImageSetParams
    predict: PredictParams
    attack: Composed


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
        problems = explain(error.errors(), Params)
        moved = "; CHANGELOG.md says which keys have moved" if "unknown key" in problems else ""
        raise UserError(f"{name}: {problems}{moved}") from error
    contradiction = _contradiction(params)
    if contradiction:
        raise UserError(f"{name}: {contradiction}")
    return params


def _contradiction(params: Params) -> str | None:
    """Say which parameters, each valid by itself, do not go together."""
    dataset, generator = params.dataset.name, params.generator
    for name in params.image_sets.nonmember_sets:
        if IMAGE_SETS[name].dataset == dataset:
            return (
                f"image_sets.nonmember_sets: {name!r} has members among its images, as "
                f"dataset.name is {dataset}; take it out, or show `{HELD_OUT}`"
            )
    if params.split.method == "published" and dataset not in PUBLISHED_SPLITS:
        allowed = ", ".join(PUBLISHED_SPLITS)
        return f"split.method: got 'published' for {dataset}; allowed for {allowed}"
    if (problem := _impossible_attacks(params)) is not None:
        return problem
    if HELD_OUT not in params.image_sets.nonmember_sets:
        return f"image_sets.nonmember_sets: lacks {HELD_OUT}, the held-out images; add it"
    if generator.source == "stylegan2_ada":
        for key in ("stylegan2_ada_repo", "stylegan2_ada_pickle"):
            if getattr(generator, key) is None:
                return f"generator.{key}: got null; needed where generator.source is stylegan2_ada"
    return None


def _impossible_attacks(params: Params) -> str | None:
    learning = [name for name, attack in ATTACKS.items() if attack.always_needs(Need.SHADOW)]
    if not set(params.attack.methods) & set(learning):
        return f"attack.methods: holds none of {', '.join(learning)}; allowed: at least one of them"
    count, settings = params.references.count, params.attack.settings()
    alone = [name for name, attack in ATTACKS.items() if not attack.fewest(attack.settings())]
    for name in params.attack.methods:
        if not count and name not in alone:
            return (
                f"attack.methods: {name!r} compares the target with reference models, but "
                f"references.count is 0; allowed: {', '.join(alone)}, or a references.count of at "
                "least 2"
            )
        if count < (fewest := ATTACKS[name].fewest(settings[name])):
            return (
                f"attack.{name}: these settings take at least {fewest} reference models, but "
                f"references.count is {count}"
            )
    return None
