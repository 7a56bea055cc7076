"""What many models say of the same images, in files that anybody can bring.

An NPZ or a folder of `.npy` files (memory-mapped) of this project's form, and the folders
that the published LiRA code and Privacy Meter leave behind.
"""

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trustmia import files
from trustmia.arrays import Bool, Float64, Int64
from trustmia.errors import UserError
from trustmia.image_sets import AUDITED, MEMBERS
from trustmia.signals import confidence
from trustmia.signals.checks import (
    SUM_TOLERANCE,
    as_text,
    beyond_01,
    check_rows,
    check_text,
    distance_from_one,
    in_a_line,
    whole_numbers,
)
from trustmia.signals.rounding import Rounding, certain

Array = npt.NDArray[Any]
# Their squares, and those of their quotients, are finite in float64.
LARGEST = np.float64(1e100)
NAMES = ("logits", "scores")
# What Privacy Meter keeps of its models, in the order in which it is looked for.
PROBABILITIES, LOSSES = "rmia_signals.npy", "loss_signals.npy"
Conversion = Callable[[Array, Int64], Float64]


@dataclass(frozen=True)
class ModelOutputs:
    """What M models say of N images, read when it is asked for.

    Attributes:
        models: One array per model: logits or scores [N, A, K] of A views of each image, or a
            single number for each, [N, A].
        convert: Turns such numbers of some images, [M, n, A, K] or [M, n, A], and their
            labels, int64 [n], into confidences, float64 [M, n, A].
        labels: int64 [N]; not used by single numbers.
        name: Where it is from, for messages.
        first: Number of the first image, for messages.
    """

    models: Sequence[Array]
    convert: Conversion
    labels: Int64
    name: str
    first: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: slice) -> "ModelOutputs":
        """Return what the models say of a slice of the images, nothing read yet."""
        parts = [model[rows] for model in self.models]
        first = self.first + rows.indices(len(self))[0]
        return replace(self, models=parts, labels=self.labels[rows], first=first)

    def confidences(self, rows: slice) -> Float64:
        """Return float64 [M, n, A] of a slice of images.

        Raises:
            UserError: A number is not finite or not what it has to be; the message says
                of which model and images.
        """
        block = np.stack([model[rows] for model in self.models])
        broken = ~(np.abs(block) < LARGEST)
        if broken.any():
            model, image = np.argwhere(broken)[0][:2]
            raise UserError(
                f"{self.name}: model {model}, image {self.first + rows.start + image} has "
                f"{block[tuple(np.argwhere(broken)[0])]}; allowed: finite numbers, of a size "
                f"below {LARGEST:g}"
            )
        try:
            return self.convert(block, self.labels[rows])
        except ValueError as error:
            place = f"images {self.first + rows.start} to {self.first + rows.stop - 1}"
            raise UserError(f"{self.name}: {place}: {error}") from error

    @property
    def views(self) -> int:
        """How many views there are of each image."""
        return self.models[0].shape[1]

    @property
    def width(self) -> int:
        """How many numbers there are of each image."""
        return sum(model[:1].size for model in self.models)


def _with_views(values: Array, dimensions: int) -> Array:
    """Return an array of models that has so many dimensions with views: one, if it has none."""
    return values if values.ndim == dimensions else np.expand_dims(values, 1)


def _checked_scores(block: Array, labels: Int64, least: Float64 | None = None) -> Float64:
    if beyond_01(block).any():
        raise ValueError("some scores leave [0, 1]; are they logits? Then save them as logits")
    block = np.clip(block, 0, 1)
    sums = block.sum(axis=-1, dtype=np.float64).ravel()
    off = distance_from_one(sums)
    if off.max() > SUM_TOLERANCE:
        raise ValueError(
            f"some scores sum to {sums[off.argmax()]}; allowed: 1 ± {SUM_TOLERANCE}; save logits "
            "as logits, or divide scores by their sum"
        )
    return confidence.from_scores(block, labels, least)


def _from_probability(block: Array, labels: Int64, least: Float64) -> Float64:
    if beyond_01(block).any():
        raise ValueError(
            "some are outside [0, 1]; allowed: the true class's probability, and its losses as "
            f"{LOSSES}"
        )
    return confidence.from_probability(np.clip(block, 0, 1), least)


def _from_loss(block: Array, labels: Int64, least: Float64) -> Float64:
    if (block < 0).any():
        raise ValueError("some are below 0; allowed: the true class's cross-entropy loss")
    return confidence.from_loss(block, least)


CONVERSIONS: dict[str, Conversion] = {"logits": confidence.from_logits, "scores": _checked_scores}


@dataclass(frozen=True)
class ManyModels:
    """What many models say of the same images, which some of them were trained on.

    Attributes:
        images: What the models say of N images.
        member: bool [M, N], the model was trained on the image.
        population: The same models on images that none was trained on; None if absent.
        audited: The images that are ranked, members and non-members of the target.
        source: The file or files that were read.
        models: What each of the M models is there: its folder, row or column.
        sets: Further non-member sets by name.
        unread: Files of signals that were there beside it.
        rounding: How probabilities were rounded; None where they are not what is read.
    """

    images: ModelOutputs
    member: Bool
    population: ModelOutputs | None
    audited: slice
    source: str
    models: tuple[str, ...]
    sets: dict[str, slice] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    rounding: Rounding | None = None


def read_signals(path: Path) -> ManyModels:
    """Read signals in whatever form they are in.

    Raises:
        UserError: The path is missing or in no known form, or an array is missing, has a
            wrong shape or type, or impossible values. The message names it.
    """
    if path.is_file():
        try:
            return _own_form(files.read_arrays(path), str(path))
        except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
            raise UserError(f"{path}: not a readable NPZ: {in_a_line(error)}") from error
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder")
    if (path / "member.npy").is_file():
        arrays = {file.stem: _load(file) for file in sorted(path.glob("*.npy"))}
        return _own_form(arrays, str(path))
    if (path / "memberships.npy").is_file():
        return _privacy_meter(path)
    if any(path.glob("*/keep.npy")):
        return _published_lira(path)
    raise UserError(
        f"{path}: in no known form; allowed: member.npy with logits.npy or scores.npy and "
        "labels.npy; folders of the published LiRA code (*/keep.npy); a log of Privacy Meter "
        "(memberships.npy)"
    )


def _load(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = in_a_line(error)
        if "pickle" in reason:
            # NumPy recommends to load whatever is no array as a pickle.
            reason = "text, a pickle or an array of Python objects"
        raise UserError(f"{path}: not an array of numbers or text ({reason})") from error
    return array


def _load_floats(path: Path) -> Array:
    array = _load(path)
    if array.dtype.kind != "f":
        raise UserError(f"{path} is {array.dtype} {list(array.shape)}; allowed: float")
    return array


def _own_form(arrays: Mapping[str, Array], name: str) -> ManyModels:
    kinds = [kind for kind in NAMES if kind in arrays]
    if len(kinds) != 1:
        raise UserError(
            f"{name}: has {' and '.join(kinds) or 'no logits and no scores'}; "
            "allowed: one of logits and scores"
        )
    missing = [key for key in ("member", "labels") if key not in arrays]
    if missing:
        raise UserError(f"{name}: lacks {' and '.join(missing)}")
    kind = kinds[0]
    for other in NAMES:
        if other != kind and f"population_{other}" in arrays:
            raise UserError(f"{name}: has {kind} and population_{other}; allowed: both of one kind")
    values = arrays[kind]
    fits = values.ndim in (3, 4) and values.size and values.shape[-1] >= 2
    if not fits or values.dtype.kind != "f":
        raise UserError(
            f"{name}: {kind} is {values.dtype} {list(values.shape)}; allowed: float "
            "[models, images, classes] or [models, images, views, classes]"
        )
    member = _member(arrays["member"], values.shape[:2], name)
    images = _signals(values, arrays["labels"], kind, f"{name}: {kind}", f"{name}: labels")
    population = _population(arrays, kind, name)
    rounding = None
    if kind == "scores":
        images, population, rounding = _with_rounding(images, population)
    models = tuple(f"row {row} of {kind}" for row in range(len(member)))
    audited = slice(0, len(images))
    sets: dict[str, slice] = {}
    if "set" in arrays:
        audited, sets = _sets(arrays["set"], len(images), f"{name}: set")
    return ManyModels(images, member, population, audited, name, models, sets, rounding=rounding)


def _population(arrays: Mapping[str, Array], kind: str, name: str) -> ModelOutputs | None:
    if f"population_{kind}" not in arrays:
        return None
    if "population_labels" not in arrays:
        raise UserError(f"{name}: lacks population_labels")
    values, shape = arrays[f"population_{kind}"], arrays[kind].shape
    if not values.size or (values.shape[:1], values.shape[2:]) != (shape[:1], shape[2:]):
        raise UserError(
            f"{name}: population_{kind} is {list(values.shape)}; allowed: as {kind}, "
            f"{list(shape)}, but for the number of images, at least one"
        )
    labels, place = arrays["population_labels"], f"{name}: population_"
    return _signals(values, labels, kind, f"{place}{kind}", f"{place}labels")


def _with_rounding(
    images: ModelOutputs, population: ModelOutputs | None
) -> tuple[ModelOutputs, ModelOutputs | None, Rounding]:
    """Read scores of 0 and 1 as far from them as the other scores show."""
    models = (*images.models, *(population.models if population else ()))
    floats = [model for model in models if model.dtype.kind == "f"]
    rounding = Rounding.of(floats, int(certain(images.models, images.labels).sum()), "scores")
    convert = partial(_checked_scores, least=rounding.least)
    images = replace(images, convert=convert)
    return images, population and replace(population, convert=convert), rounding


def _sets(names: Array, count: int, place: str) -> tuple[slice, dict[str, slice]]:
    """Return which rows are audited, and those of each further set."""
    if names.shape != (count,) or names.dtype.kind == "O":
        raise UserError(f"{place} is {names.dtype} {list(names.shape)}; allowed: text [{count}]")
    names = as_text(place, names)
    check_rows(place, names == "", lambda row: "is empty")
    check_text(place, np.unique(names))
    groups = np.where(np.isin(names, AUDITED), MEMBERS, names)
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    ends = [*starts[1:], count]
    rows: dict[str, slice] = {}
    for start, end in zip(starts, ends):
        name = str(groups[start])
        if name in rows:
            raise UserError(
                f"{place}: rows of {name} are in two places, up to {rows[name].stop - 1} and from "
                f"{start}; allowed: {' and '.join(AUDITED)} side by side, each set in one piece"
            )
        rows[name] = slice(int(start), int(end))
    if MEMBERS not in rows:
        raise UserError(f"{place}: has no rows of {' or '.join(AUDITED)}, which are audited")
    return rows.pop(MEMBERS), rows


def _signals(values: Array, labels: Array, kind: str, name: str, labels_name: str) -> ModelOutputs:
    checked = _labels(labels, values.shape[1], values.shape[-1], labels_name)
    models = [_with_views(model, 3) for model in values]
    return ModelOutputs(models, CONVERSIONS[kind], checked, name)


def _labels(labels: Array, count: int, classes: int, name: str) -> Int64:
    labels = whole_numbers(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise UserError(
            f"{name} is {labels.dtype} {list(labels.shape)}; allowed: whole numbers [{count}]"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise UserError(
            f"{name}: image {wrong[0]} has {labels[wrong[0]]}; allowed: 0 to {classes - 1}"
        )
    return labels.astype(np.int64)


def _member(member: Array, shape: tuple[int, ...], name: str) -> Bool:
    if member.shape != tuple(shape) or member.dtype.kind not in "biuf":
        raise UserError(
            f"{name}: member is {member.dtype} {list(member.shape)}; allowed: bool or 0 and 1, "
            f"[models, images], here {list(shape)}"
        )
    if member.dtype.kind != "b" and not np.isin(member, (0, 1)).all():
        raise UserError(f"{name}: member holds other numbers than 0 and 1")
    return np.asarray(member, dtype=np.bool_)


def _published_lira(path: Path) -> ManyModels:
    """Read what the published LiRA code keeps: a folder per model."""
    folders, kind = _lira_folders(path)
    models = [_load_floats(folder / f"{kind}.npy") for folder in folders]
    keeps = [_load(folder / "keep.npy") for folder in folders]
    first, count = models[0], len(models[0])
    for folder, model, keep in zip(folders, models, keeps, strict=True):
        if model.shape != first.shape:
            raise UserError(
                f"{folder / kind}.npy is {list(model.shape)}, but the first model's is "
                f"{list(first.shape)}"
            )
        if keep.shape != (count,):
            raise UserError(f"{folder / 'keep.npy'} is {list(keep.shape)}; allowed: [{count}]")
    member = _member(np.stack(keeps), (len(models), count), str(path))
    name = f"{path}/*/{kind}.npy"
    signals_of = partial(
        ManyModels,
        member=member,
        population=None,
        audited=slice(0, count),
        source=name,
        models=tuple(map(str, folders)),
    )
    if kind == "scores":
        if first.ndim not in (1, 2):
            raise UserError(f"{name}: {list(first.shape)}; allowed: [images, views]")
        if all(((model >= 0) & (model <= 1)).all() for model in models):
            raise UserError(
                f"{name}: all are in [0, 1], as probabilities are; allowed: what the published "
                "score.py writes, log p − log(1 − p) of the true class's p; or the logarithms of "
                "all classes' probabilities as logits.npy, [images, views, classes]"
            )
        models = [_with_views(model, 2) for model in models]
        unused = np.zeros(count, np.int64)
        return signals_of(
            ModelOutputs(models, lambda block, labels: block.astype(np.float64), unused, name)
        )
    if first.ndim not in (2, 3):
        raise UserError(f"{name}: {list(first.shape)}; allowed: [images, views, classes]")
    if not (path / "labels.npy").is_file():
        raise UserError(
            f"{path}: logits need labels: save them as {path / 'labels.npy'}, or run the "
            "published score.py, which makes scores.npy of them"
        )
    labels = _labels(_load(path / "labels.npy"), count, first.shape[-1], str(path / "labels.npy"))
    models = [_with_views(model, 3) for model in models]
    return signals_of(ModelOutputs(models, confidence.from_logits, labels, name))


def _lira_folders(path: Path) -> tuple[list[Path], str]:
    """Return the models' folders in the order of their numbers, and what is in all of them."""
    kept = {file.parent for file in path.glob("*/keep.npy")}
    kind = "scores" if any((folder / "scores.npy").is_file() for folder in kept) else "logits"
    folders = sorted(kept | {file.parent for file in path.glob(f"*/{kind}.npy")}, key=_by_numbers)
    for file in (folder / name for folder in folders for name in ("keep.npy", f"{kind}.npy")):
        if not file.is_file():
            raise UserError(
                f"{file}: no such file; allowed: keep.npy and {kind}.npy in each model's folder"
            )
    return folders, kind


def _by_numbers(folder: Path) -> tuple[list[str | int], str]:
    """Return a key that sorts names by text and numbers in turn, `a-2_12` before `a-10_12`."""
    parts = re.split(r"(\d+)", folder.name)
    return [int(part) if part.isdecimal() else part for part in parts], folder.name


def _privacy_meter(path: Path) -> ManyModels:
    """Read what Privacy Meter keeps: a number of the true class, images × models."""
    file, unread = _privacy_meter_files(path / "signals")
    place = file.with_name(f"{file.stem}_pop.npy")
    parts = {str(f): _load_floats(f) for f in (file, place) if f.is_file()}
    values, population = parts[str(file)], parts.get(str(place))
    member = _load(path / "memberships.npy")
    if values.ndim != 2 or member.shape != values.shape[::-1]:
        raise UserError(
            f"{file} is {list(values.shape)} and memberships.npy {list(member.shape)}; "
            "allowed: [images, models] and [models, images]"
        )
    checked = _member(member, values.shape[::-1], str(path))
    if population is not None and (
        population.shape[1:] != values.shape[1:] or 0 in population.shape
    ):
        raise UserError(
            f"{place} is {list(population.shape)}; allowed: [images, {len(member)}], at least one"
        )
    likely = file.name == PROBABILITIES
    if not likely:
        _refuse_probabilities(parts)
    ends = (values == 0) | (likely & (values == 1))
    columns = [column for part in parts.values() for column in part.T]
    kind = "probability" if likely else "loss"
    rounding = Rounding.of(columns, int(ends.any(axis=1).sum()), kind)
    convert = partial(_from_probability if likely else _from_loss, least=rounding.least)
    images, *others = [
        ModelOutputs(list(v.T[:, :, None]), convert, np.zeros(len(v), np.int64), name)
        for name, v in parts.items()
    ]
    return ManyModels(
        images,
        checked,
        others[0] if others else None,
        slice(0, len(images)),
        str(file),
        tuple(f"column {column}" for column in range(len(member))),
        unread=unread,
        rounding=rounding,
    )


def _privacy_meter_files(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Return which file is read, and those beside it that are not."""
    present = sorted(folder.glob("*_signals.npy"))
    for name in (PROBABILITIES, LOSSES):
        if folder / name in present:
            return folder / name, tuple(str(f) for f in present if f.name != name)
    raise UserError(
        f"{folder}: has {', '.join(f.name for f in present) or 'no signals'}; allowed: "
        f"{PROBABILITIES} (the true class's probability) or {LOSSES}"
    )


def _refuse_probabilities(parts: Mapping[str, Array]) -> None:
    """Refuse losses that may be probabilities, which newer versions keep under the same name."""
    if all(((values >= 0) & (values <= 1)).all() for values in parts.values()):
        name = next(iter(parts))
        raise UserError(
            f"{name}: all are in [0, 1], so that they may be losses or, as in Privacy Meter since "
            f"2025, probabilities; save probabilities, exp(-loss) of losses, as {PROBABILITIES}"
        )
