"""Prediction scores in files that anybody can bring: NPZ, CSV or Parquet."""

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from trustmia import files
from trustmia.arrays import Bool, Float32, Int64
from trustmia.errors import UserError

MEMBERS = "members"
SUM_TOLERANCE = 1e-3
ROWS_AT_ONCE = 1 << 18
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ScoreSet:
    """What a model said of images.

    Attributes:
        scores: float32 [N, K], rows sum to 1.
        labels: int64 [N]; -1 where the image has no label of the model's classes.
        member: bool [N], the model was trained on the image.
        set_names: Names of the image sets.
        set_codes: int32 [N], index into `set_names`.
    """

    scores: Float32
    labels: Int64
    member: Bool
    set_names: tuple[str, ...]
    set_codes: npt.NDArray[np.int32]

    def nonmember_sets(self) -> dict[str, Int64]:
        """Return the rows of each set that are no members, in order of first appearance.

        Sets without such rows are left out; row numbers are int64.
        """
        outside = np.flatnonzero(~self.member)
        codes = self.set_codes[outside]
        found, first = np.unique(codes, return_index=True)
        in_order = found[np.argsort(first)]
        return {self.set_names[code]: outside[codes == code] for code in in_order}


def write_scores(path: Path, scores: ScoreSet, logits: Float32 | None = None) -> None:
    """Write the NPZ form.

    Args:
        path: The file.
        scores: Its content.
        logits: float32 [N, K], whose softmax the scores are, to be kept beside them: scores
            near 1 are equal in float32.
    """
    arrays: dict[str, Array] = {} if logits is None else {"logits": logits}
    arrays |= {
        "scores": scores.scores,
        "labels": scores.labels,
        "member": scores.member,
        "set": np.asarray(scores.set_names)[scores.set_codes],
    }
    files.write_arrays(path, arrays)


def read_scores(path: Path, needs_sets: bool) -> ScoreSet:
    """Read and check a score file.

    Args:
        path: `.npz` with arrays `scores` (or `logits`) [N, K], `labels` [N], `member` [N]
            and `set` [N]; or `.csv` or `.parquet` with columns `scores_0` … (or
            `logits_0` …; in Parquet also one list column), `labels`, `member`, `set`.
        needs_sets: `set` has to be there, with rows outside every membership. Otherwise
            it is not read.

    Raises:
        UserError: The file is missing, unreadable or malformed. The message names the
            array and the row.
    """
    readers: dict[str, Callable[[Path, bool], _Columns]] = {
        ".npz": _read_npz,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown format; allowed: {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    try:
        columns = reader(path, needs_sets)
    except (pa.ArrowException, ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path}: not a readable {path.suffix[1:]} file: {_line(error)}") from error
    return _checked(path, columns, needs_sets)


@dataclass
class _Columns:
    """A file's content before it is checked."""

    values: Float32 | Array
    is_logits: bool
    labels: Array
    member: Array
    set_names: tuple[str, ...]
    set_codes: npt.NDArray[np.int32]


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _read_npz(path: Path, needs_sets: bool) -> _Columns:
    arrays = files.read_arrays(path)
    name = _name_of_values(path, set(arrays))
    wanted = ["labels", "member"] + (["set"] if needs_sets else [])
    _require(path, set(arrays), wanted, "array")
    names: Array = np.asarray(["-"])
    codes: Array = np.zeros(arrays["member"].shape, dtype=np.int32)
    if needs_sets:
        names, codes = np.unique(_as_text(path, arrays["set"]), return_inverse=True)
    return _Columns(
        values=arrays[name],
        is_logits=name == "logits",
        labels=arrays["labels"],
        member=arrays["member"],
        set_names=tuple(str(n) for n in names),
        set_codes=codes.astype(np.int32),
    )


def _as_text(path: Path, names: Array) -> Array:
    try:
        return names.astype(str)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: set holds bytes that are no ASCII; allowed: text, e.g. "
            "`np.char.decode(names, 'utf-8')`"
        ) from error


def _read_csv(path: Path, needs_sets: bool) -> _Columns:
    try:
        with pyarrow.csv.open_csv(path) as reader:
            names = reader.schema.names
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise UserError(f"{path}: has no rows") from error
        raise
    _check_names(path, names)
    if len(names) == 1 and ";" in names[0]:
        raise UserError(f"{path}: columns are separated by semicolons; allowed: commas")
    # Types follow from the first block alone, where a score may look like an integer.
    options = pyarrow.csv.ConvertOptions(
        column_types={name: pa.float32() for name in names if _is_value(name)},
        strings_can_be_null=True,
    )
    try:
        with pyarrow.csv.open_csv(path, convert_options=options) as reader:
            return _from_batches(path, reader.schema, reader, None, needs_sets)
    except pa.ArrowInvalid as error:
        raise ValueError(
            re.sub(r"CSV column #(\d+)", partial(_column_name, names), str(error))
        ) from error


def _column_name(names: list[str], match: re.Match[str]) -> str:
    return f"column {names[int(match[1])]}"


def _check_names(path: Path, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: column {name} is there {names.count(name)} times")


def _read_parquet(path: Path, needs_sets: bool) -> _Columns:
    schema = pyarrow.parquet.read_schema(path)
    _check_names(path, schema.names)
    dictionary = ["set"] if needs_sets and "set" in schema.names and _is_text(schema, "set") else []
    with pyarrow.parquet.ParquetFile(path, read_dictionary=dictionary) as file:
        columns = [n for n in schema.names if _is_value(n) or n in ("labels", "member", "set")]
        batches = file.iter_batches(ROWS_AT_ONCE, columns=columns)
        return _from_batches(path, schema, batches, file.metadata.num_rows, needs_sets)


def _is_text(schema: pa.Schema, column: str) -> bool:
    kind = schema.field(column).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_value(column: str) -> bool:
    return re.fullmatch(r"(scores|logits)(_\d+)?", column) is not None


def _name_of_values(path: Path, names: set[str]) -> str:
    for name in ("scores", "logits"):
        if name in names or f"{name}_0" in names:
            return name
    raise UserError(f"{path}: has neither scores nor logits; found: {', '.join(sorted(names))}")


def _require(path: Path, names: set[str], wanted: list[str], kind: str) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise UserError(
            f"{path}: {kind} {missing[0]} is missing; found: {', '.join(sorted(names))}"
        )


def _from_batches(
    path: Path,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    rows: int | None,
    needs_sets: bool,
) -> _Columns:
    """Collect batches of a table, never holding more than the numbers themselves."""
    name = _name_of_values(path, set(schema.names))
    wanted = ["labels", "member"] + (["set"] if needs_sets else [])
    _require(path, set(schema.names), wanted, "column")
    value_columns = _value_columns(path, schema, name)
    _check_types(path, schema, value_columns)
    collected = _Collector(path, rows)
    for batch in batches:
        collected.add(batch, value_columns, needs_sets)
    return collected.columns(name == "logits")


def _value_columns(path: Path, schema: pa.Schema, name: str) -> list[str]:
    if name in schema.names:
        return [name]
    count = sum(re.fullmatch(rf"{name}_\d+", n) is not None for n in schema.names)
    columns = [f"{name}_{number}" for number in range(count)]
    _require(path, set(schema.names), columns, "column")
    return columns


def _check_types(path: Path, schema: pa.Schema, value_columns: list[str]) -> None:
    for name in value_columns:
        kind = schema.field(name).type
        number = kind.value_type if _is_list(kind) else kind
        if not (pa.types.is_floating(number) or pa.types.is_integer(number)):
            raise UserError(f"{path}: {name} has type {kind}; allowed: numbers")
    if "set" in schema.names:
        kind = schema.field("set").type
        if pa.types.is_binary(kind) or pa.types.is_nested(kind):
            raise UserError(f"{path}: set has type {kind}; allowed: text in UTF-8")


class _Collector:
    """Gathers the columns of a table batch by batch."""

    def __init__(self, path: Path, rows: int | None) -> None:
        self.path, self.rows = path, rows
        self.read = 0
        self.values: list[Float32] = []
        self.whole: Float32 | None = None
        self.labels: list[Array] = []
        self.member: list[Array] = []
        self.codes: list[npt.NDArray[np.int32]] = []
        self.names: dict[str, int] = {}

    def add(self, batch: pa.RecordBatch, value_columns: list[str], needs_sets: bool) -> None:
        """Take the next rows."""
        self._add_values(self._matrix(batch, value_columns))
        self.labels.append(self._plain(batch, "labels"))
        self.member.append(self._plain(batch, "member"))
        if needs_sets:
            self.codes.append(self._set_codes(batch.column("set")))
        self.read += batch.num_rows

    def _add_values(self, values: Float32) -> None:
        if self.rows is None:
            self.values.append(values)
            return
        if self.whole is None:
            self.whole = np.empty((self.rows, values.shape[1]), dtype=np.float32)
        if values.shape[1] != self.whole.shape[1]:
            raise UserError(
                f"{self.path}: rows from {self.read} on have {values.shape[1]} values, "
                f"those before {self.whole.shape[1]}"
            )
        self.whole[self.read : self.read + len(values)] = values

    def _matrix(self, batch: pa.RecordBatch, columns: list[str]) -> Float32:
        first = batch.column(columns[0])
        if len(columns) > 1 or not _is_list(first.type):
            parts = [self._plain(batch, column) for column in columns]
            return np.stack(parts, axis=1).astype(np.float32, copy=False)
        self._no_nulls(first, columns[0])
        width = len(first[0]) if len(first) else 0
        flat = first.flatten().to_numpy(zero_copy_only=False)
        lengths = np.full(len(first), width)
        if not pa.types.is_fixed_size_list(first.type):
            lengths = np.asarray(first.value_lengths())
        if not (lengths == width).all():
            row = self.read + int(np.argmax(lengths != width))
            raise UserError(
                f"{self.path}: row {row} of {columns[0]} has {lengths[row - self.read]} values, "
                f"row {self.read} has {width}"
            )
        matrix: Float32 = flat.reshape(len(first), width).astype(np.float32, copy=False)
        return matrix

    def _plain(self, batch: pa.RecordBatch, name: str) -> Array:
        column = batch.column(name)
        self._no_nulls(column, name)
        array: Array = column.to_numpy(zero_copy_only=False)
        return array

    def _no_nulls(self, column: pa.Array, name: str) -> None:
        if column.null_count:
            row = self.read + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise UserError(f"{self.path}: row {row} of {name} is empty")

    def _set_codes(self, column: pa.Array) -> npt.NDArray[np.int32]:
        self._no_nulls(column, "set")
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        here = [str(name) for name in column.dictionary.to_pylist()]
        lookup = [self.names.setdefault(name, len(self.names)) for name in here]
        indices = column.indices.to_numpy(zero_copy_only=False)
        return np.asarray(lookup, dtype=np.int32)[indices]

    def columns(self, is_logits: bool) -> _Columns:
        """Return all that was taken."""
        if not self.labels:
            raise UserError(f"{self.path}: has no rows")
        values = self.whole if self.whole is not None else np.concatenate(self.values)
        codes = np.concatenate(self.codes) if self.codes else np.zeros(self.read, dtype=np.int32)
        return _Columns(
            values=values,
            is_logits=is_logits,
            labels=np.concatenate(self.labels),
            member=np.concatenate(self.member),
            set_names=tuple(self.names) or ("-",),
            set_codes=codes,
        )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _checked(path: Path, columns: _Columns, needs_sets: bool) -> ScoreSet:
    name = "logits" if columns.is_logits else "scores"
    _check_shapes(path, name, columns)
    values = _as_numbers(path, name, columns.values)
    scores = _softmax(path, values) if columns.is_logits else _check_scores(path, values)
    labels = _check_labels(path, columns.labels, scores.shape[1])
    member = _check_member(path, columns.member)
    if needs_sets and "" in columns.set_names:
        nameless = columns.set_codes == columns.set_names.index("")
        raise UserError(f"{path}: row {int(np.argmax(nameless))} of set is empty")
    result = ScoreSet(scores, labels, member, columns.set_names, columns.set_codes)
    _check_membership(path, result, needs_sets)
    return result


def _check_shapes(path: Path, name: str, columns: _Columns) -> None:
    if columns.values.ndim != 2:
        raise UserError(
            f"{path}: {name} has {columns.values.ndim} dimensions; allowed: 2, rows × classes"
        )
    rows, classes = columns.values.shape
    if rows == 0:
        raise UserError(f"{path}: has no rows")
    if classes < 2:
        raise UserError(f"{path}: {name} has {classes} column(s); allowed: at least 2")
    for other in ("labels", "member", "set_codes"):
        array = getattr(columns, other)
        label = "set" if other == "set_codes" else other
        if array.shape != (rows,):
            raise UserError(
                f"{path}: {label} has shape {list(array.shape)}, {name} has {rows} rows; "
                f"allowed: [{rows}]"
            )


def _as_numbers(path: Path, name: str, values: Array) -> Float32:
    if values.dtype.kind not in "fiu":
        raise UserError(f"{path}: {name} has type {values.dtype}; allowed: numbers")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def _first_bad_row(values: Float32, is_bad: Callable[[Float32], Any]) -> int | None:
    """Return the first row for which `is_bad` holds, looking at a block at a time."""
    for start in range(0, len(values), ROWS_AT_ONCE):
        bad = is_bad(values[start : start + ROWS_AT_ONCE])
        if bad.any():
            return start + int(np.argmax(bad))
    return None


def _check_scores(path: Path, scores: Float32) -> Float32:
    row = _first_bad_row(scores, lambda rows: ~np.isfinite(rows).all(axis=1))
    if row is not None:
        raise UserError(f"{path}: row {row} of scores has NaN or infinity")
    row = _first_bad_row(scores, lambda rows: (rows < 0).any(axis=1) | (rows > 1).any(axis=1))
    if row is not None:
        raise UserError(f"{path}: row {row} of scores leaves [0, 1]; are these logits?")
    row = _first_bad_row(scores, lambda rows: np.abs(rows.sum(axis=1) - 1) > SUM_TOLERANCE)
    if row is not None:
        total = scores[row].sum()
        raise UserError(
            f"{path}: row {row} of scores sums to {total:.6g}; allowed: 1 ± {SUM_TOLERANCE}"
        )
    return scores


def _softmax(path: Path, logits: Float32) -> Float32:
    row = _first_bad_row(logits, lambda rows: ~np.isfinite(rows).all(axis=1))
    if row is not None:
        raise UserError(f"{path}: row {row} of logits has NaN or infinity")
    scores = np.empty_like(logits)
    for start in range(0, len(logits), ROWS_AT_ONCE):
        block = logits[start : start + ROWS_AT_ONCE].astype(np.float64)
        block = np.exp(block - block.max(axis=1, keepdims=True))
        scores[start : start + len(block)] = block / block.sum(axis=1, keepdims=True)
    return scores


def _kind(array: Array) -> str:
    return "text" if array.dtype.kind in "OUS" else str(array.dtype)


def _check_labels(path: Path, labels: Array, classes: int) -> Int64:
    if labels.dtype.kind not in "iu":
        raise UserError(f"{path}: labels has type {_kind(labels)}; allowed: integers")
    bad = (labels < -1) | (labels >= classes)
    if bad.any():
        row = int(np.argmax(bad))
        raise UserError(
            f"{path}: row {row} of labels is {labels[row]}; allowed: 0 to {classes - 1}, or -1 "
            "for an image without label"
        )
    return labels.astype(np.int64, copy=False)


def _check_member(path: Path, member: Array) -> Bool:
    if member.dtype.kind in "iu":
        wrong = ~np.isin(member, (0, 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(f"{path}: row {row} of member is {member[row]}; allowed: 0 or 1")
        return member.astype(np.bool_)
    if member.dtype.kind != "b":
        raise UserError(f"{path}: member has type {_kind(member)}; allowed: true/false or 0/1")
    return member


def _check_membership(path: Path, scores: ScoreSet, needs_sets: bool) -> None:
    if not scores.member.any():
        raise UserError(f"{path}: has no members; some rows of member have to be true")
    if scores.member.all():
        raise UserError(f"{path}: has only members; some rows of member have to be false")
    if needs_sets and MEMBERS in scores.nonmember_sets():
        raise UserError(
            f"{path}: row {int(scores.nonmember_sets()[MEMBERS][0])} is of set {MEMBERS} but its "
            "member is false"
        )
