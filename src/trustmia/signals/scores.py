"""Prediction scores in files that anybody can bring: NPZ, CSV or Parquet."""

import csv
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from trustmia import files
from trustmia.arrays import Bool, Float32, Float64, Int64, blocks, in_blocks
from trustmia.errors import UserError
from trustmia.image_sets import MEMBERS
from trustmia.signals.checks import (
    ROUNDING,
    SUM_TOLERANCE,
    as_text,
    beyond_01,
    check_rows,
    check_text,
    distance_from_one,
    in_a_line,
    whole_numbers,
)

# Beyond this distance of a row's sum from 1, people are told.
NOTED_SUM = 0.001
# How far scores may be from the softmax of the logits beside them: as far as two digits round.
DISAGREEMENT = 0.01
KINDS = ("scores", "logits")
# Of so many columns that a file has, a message names the first.
NAMES_IN_MESSAGE = 12
# What may separate the columns of a CSV file; spaces are recognised, and refused.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
# A number with a comma that does not stand before its last three digits, or after a lone zero.
NO_THOUSANDS = re.compile(rb"(?<![\d,.])[-+]?(?:(?:0|\d{4,}),\d|\d+,(?:\d{1,2}|\d{4,})(?![\d,]))")
TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ScoreSet:
    """What a model said of images.

    Attributes:
        scores: float32 [N, K], rows sum to 1 ± `SUM_TOLERANCE`.
        labels: int64 [N]; -1 where the image has no label of the model's classes.
        member: bool [N], the model was trained on the image.
        set_names: Names of the image sets.
        set_codes: int32 [N], index into `set_names`.
        notes: What people should know of how a file was read, a sentence each.
        logits: float32 [N, K], whose softmax the scores are: scores near 1 are equal in
            float32. None where scores are all that is known.
        log_scores: float64 [N, K], finite logarithms of scores that are equal in float32, but
            not in the file. None where there are logits, float32 ranks them as well, or the
            rows are not to be ranked, for lack of sets.
    """

    scores: Float32
    labels: Int64
    member: Bool
    set_names: tuple[str, ...]
    set_codes: npt.NDArray[np.int32]
    notes: tuple[str, ...] = ()
    logits: Float32 | None = None
    log_scores: Float64 | None = None

    @property
    def finer(self) -> Float32 | Float64 | None:
        """What ranks images whose scores are equal in float32 (see `FittedAttack.rank`)."""
        return self.log_scores if self.logits is None else self.logits

    def nonmember_sets(self) -> dict[str, Int64]:
        """Return the rows of each set that are no members, in order of first appearance.

        Sets without such rows are left out; row numbers are int64.
        """
        nonmembers = np.flatnonzero(~self.member)
        codes = self.set_codes[nonmembers]
        in_order = dict.fromkeys(codes.tolist())
        return {self.set_names[code]: nonmembers[codes == code] for code in in_order}

    def all_alike(self) -> bool:
        """Say whether all rows have the same scores, in whatever order of the classes."""
        first = np.sort(self.scores[0])
        return all((np.sort(self.scores[b]) == first).all() for b in blocks(*self.scores.shape))


def write_scores(path: Path, scores: ScoreSet) -> None:
    """Write the NPZ form."""
    arrays: dict[str, Array] = {} if scores.logits is None else {"logits": scores.logits}
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
        path: `.npz` with arrays `scores` or `logits` (or both) [N, K], `labels` [N],
            `member` [N] and `set` [N]; or `.csv` or `.parquet` with columns `scores_0` … or
            `logits_0` … (in Parquet also one list column), `labels`, `member`, `set`.
        needs_sets: `set` has to be there, with rows outside every membership. Otherwise
            it is not read.

    Raises:
        UserError: The file is missing, unreadable or malformed. The message names the
            array and the row.
    """
    readers: dict[str, Callable[[Path, bool, type], _Columns]] = {
        ".npz": _read_npz,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown format; allowed: {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    unreadable = (pa.ArrowException, ValueError, OSError, zipfile.BadZipFile, EOFError, csv.Error)
    try:
        columns = reader(path, needs_sets, np.float32)
        result = _checked(path, columns, needs_sets)
        if not needs_sets or result.logits is not None or not _float32_ties(columns.maxima):
            return result
        # Read again, since most files would be held in float64 for nothing.
        del columns
        exact = reader(path, needs_sets, np.float64).values["scores"].astype(np.float64, copy=False)
        np.clip(exact, np.finfo(np.float64).tiny, 1, out=exact)
        return replace(result, log_scores=np.log(exact, out=exact))
    except unreadable as error:
        raise UserError(
            f"{path}: not a readable {path.suffix[1:]} file: {in_a_line(error)}"
        ) from error


def _float32_ties(maxima: Float64) -> bool:
    """Say whether rows whose largest scores differ in float64, [N] or [0], tie in float32."""
    single = maxima.astype(np.float32)
    if (single == maxima).all():
        return False
    return len(np.unique(single)) < len(np.unique(maxima))


@dataclass(frozen=True)
class _Columns:
    """A file's content before it is checked.

    `values` has scores, logits, or both; `maxima` float64 [N], the largest scores of rows that
    are finer than float32, or [0].
    """

    values: dict[str, Array]
    labels: Array
    member: Array
    set_names: tuple[str, ...]
    set_codes: npt.NDArray[np.int32]
    notes: tuple[str, ...] = ()
    maxima: Float64 = field(default_factory=lambda: np.empty(0))


def _read_npz(path: Path, needs_sets: bool, dtype: type) -> _Columns:
    arrays = files.read_arrays(path)
    values = {kind: arrays[kind] for kind in KINDS if kind in arrays}
    if not values:
        raise _has_no_values(path, arrays)
    _require(path, arrays, _other_names(needs_sets), "array")
    sets = as_text(path, arrays["set"]) if needs_sets else np.full(arrays["member"].shape, "-")
    names, codes = np.unique(sets, return_inverse=True)
    return _Columns(
        values=values,
        labels=arrays["labels"],
        member=arrays["member"],
        set_names=tuple(str(n) for n in names),
        set_codes=codes.astype(np.int32),
        maxima=_maxima(values.get("scores")),
    )


def _maxima(scores: Array | None) -> Float64:
    if scores is None or scores.dtype.kind != "f" or scores.itemsize < 8 or scores.ndim != 2:
        return np.empty(0)
    return scores.max(axis=1, initial=0).astype(np.float64)


@dataclass(frozen=True)
class _Dialect:
    """How a CSV file is written.

    Attributes:
        names: Of the columns.
        separator: Between columns, one of `SEPARATORS`.
        header_lines: Lines up to the header's end, empty ones included.
        padded: A blank follows each separator.
    """

    names: list[str]
    separator: str
    header_lines: int
    padded: bool


def _read_csv(path: Path, needs_sets: bool, dtype: type) -> _Columns:
    dialect = _dialect(path)
    used = _used_columns(path, dialect.names, needs_sets)
    columns = _csv_columns(path, dialect, used, ".", dtype)
    _check_quotes(path, dialect, len(columns.labels))
    if dialect.padded:
        columns = _without_padding(columns)
    if dialect.separator == ",":
        return columns
    note = f"{path}: columns are separated by {SEPARATORS[dialect.separator]}."
    return replace(columns, notes=(note, *columns.notes))


def _check_quotes(path: Path, dialect: _Dialect, rows: int) -> None:
    """Refuse a quote that takes in rows: Arrow ends it where the next one or the file does."""
    with path.open("rb") as stream:
        lines = sum(block.count(b"\n") for block in iter(partial(stream.read, 1 << 20), b""))
    if lines <= dialect.header_lines + rows:
        return
    count = 0
    try:
        for _ in _rows(path, dialect, skipinitialspace=dialect.padded, strict=True):
            count += 1
    except csv.Error as error:
        raise UserError(
            f"{path}: row {count} has a quote that is not closed, or not at the end of its "
            "cell; allowed: quotes around a whole cell, and two for one within"
        ) from error


def _rows(path: Path, dialect: _Dialect, **options: Any) -> Iterator[list[str]]:
    """Yield the cells of each row, in what Python calls a dialect's other options."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        lines = islice(stream, dialect.header_lines, None)
        yield from filter(None, csv.reader(lines, delimiter=dialect.separator, **options))


def _dialect(path: Path) -> _Dialect:
    with path.open("rb") as stream:
        start = stream.read(1 << 20)
    if b"\0" in start:
        raise UserError(f"{path}: is no text in UTF-8, but perhaps in UTF-16; allowed: UTF-8")
    text = start.decode("utf-8-sig", errors="surrogateescape")
    first = re.match(r"[\r\n]*([^\r\n]+)", text)
    if first is None:
        raise UserError(f"{path}: has no rows")
    header = first[1]
    ways = {separator: _header_names(header, separator) for separator in SEPARATORS}
    separator = max(ways, key=lambda way: sum(map(_is_known, ways[way])))
    if separator == " ":
        raise UserError(
            f"{path}: columns are separated by spaces; allowed: commas, as "
            r"`pandas.read_csv(FILE, sep=r'\s+').to_csv('commas.csv', index=False)` writes them"
        )
    if not any(map(_is_known, ways[separator])):
        beginning = header if len(header) <= 60 else header[:59] + "…"
        raise UserError(
            f"{path}: its first line names no column that is needed: {beginning!r}; allowed: a "
            "header, scores_0,scores_1,…,labels,member,set"
        )
    header_lines = len(re.findall(r"\r\n|\r|\n", first[0])) + 1
    padded = any(cell.startswith(" ") for cell in next(csv.reader([header], delimiter=separator)))
    return _Dialect(ways[separator], separator, header_lines, padded)


def _header_names(header: str, separator: str) -> list[str]:
    cells = next(csv.reader([header], delimiter=separator, skipinitialspace=True))
    # `numpy.savetxt` begins a header with a number sign.
    return [cell.lstrip("# ").rstrip().lower() for cell in cells]


def _without_padding(columns: _Columns) -> _Columns:
    # A quote after a blank is part of the text to Arrow.
    plain = [re.sub(r'^"(.*)"$', r"\1", name.strip()) for name in columns.set_names]
    names = list(dict.fromkeys(plain))
    places = np.asarray([names.index(name) for name in plain], dtype=np.int32)
    return replace(columns, set_names=tuple(names), set_codes=places[columns.set_codes])


def _csv_columns(
    path: Path, dialect: _Dialect, used: list[str], decimal: str, dtype: type
) -> _Columns:
    try:
        batches = _csv_batches(path, dialect, used, decimal)
        return _Collector(path, used, dtype).columns(batches)
    except pa.ArrowInvalid as error:
        if decimal == "." and re.search(
            r"to double: invalid value '\s*-?\d*,\d+(e[-+]?\d+)?\s*'", str(error)
        ):
            columns = _csv_columns(path, dialect, used, ",", dtype)
            if _may_be_thousands(path, dialect.separator):
                raise UserError(
                    f"{path}: numbers have a comma before three digits, which may be decimals or "
                    "thousands; allowed: numbers without separators of thousands"
                ) from error
            return replace(columns, notes=(f"{path}: numbers have decimal commas.",))
        raise _csv_error(path, dialect, decimal, error) from error


def _may_be_thousands(path: Path, separator: str) -> bool:
    """Say whether no number has a comma that cannot be one of thousands."""
    # Between commas, a number with a comma of its own is in quotes.
    cells = re.compile(rb'"[^"]*"' if separator == "," else rb".+")
    with path.open("rb") as stream:
        return not any(NO_THOUSANDS.search(cell) for line in stream for cell in cells.findall(line))


def _csv_batches(
    path: Path, dialect: _Dialect, used: list[str], decimal: str
) -> Iterator[pa.RecordBatch]:
    """Yield the used columns, in types that the file's content has no say in."""
    text = pa.dictionary(pa.int32(), pa.string())
    types = {"labels": pa.float64(), "member": text, "set": text}
    # Columns that are not used may lack a name or share one.
    places = {str(dialect.names.index(name)): name for name in used}
    with pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(
            column_names=[str(place) for place in range(len(dialect.names))],
            skip_rows=dialect.header_lines,
        ),
        pyarrow.csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
        pyarrow.csv.ConvertOptions(
            include_columns=list(places),
            column_types={place: types.get(name, pa.float64()) for place, name in places.items()},
            null_values=[""],
            decimal_point=decimal,
        ),
    ) as reader:
        for batch in reader:
            yield batch.rename_columns(used)


def _csv_error(path: Path, dialect: _Dialect, decimal: str, error: pa.ArrowInvalid) -> Exception:
    """Return what Arrow found, with the row and the column's name."""
    text = str(error)
    if "Empty CSV" in text or "Could not skip initial" in text:
        return UserError(f"{path}: has no rows")
    if cells := re.search(r"Expected (\d+) columns, got (\d+)", text):
        width, count = int(cells[1]), int(cells[2])
        row = _first_row(path, dialect, lambda cells: len(cells) == count)
        return UserError(
            f"{path}: {row} has {count} cells; allowed: {width}, as the header (a "
            "separator at a line's end makes one more, a decimal comma between commas too)"
        )
    cell = re.search(r"CSV column #(\d+): .*?(UTF8|invalid value '(.*)')", text, re.DOTALL)
    if cell is None:
        return ValueError(text)
    place, value = int(cell[1]), cell[3]
    name = dialect.names[place]
    if value is None:
        row = _first_row(path, dialect, lambda cells: re.search("[\udc80-\udcff]", cells[place]))
        return UserError(f"{path}: {row} of {name} is no text in UTF-8; allowed: UTF-8")
    row = _first_row(path, dialect, lambda cells: cells[place].strip() == value.strip())
    allowed = "numbers, with decimal commas as in other rows" if decimal == "," else "numbers"
    if name == "labels":
        allowed = "whole numbers such as 2, and -1 for an image without label"
    return UserError(f"{path}: {row} of {name} is {value!r}; allowed: {allowed}")


def _first_row(path: Path, dialect: _Dialect, is_meant: Callable[[list[str]], Any]) -> str:
    rows = enumerate(_rows(path, dialect))
    return f"row {next((number for number, cells in rows if is_meant(cells)), '?')}"


def _read_parquet(path: Path, needs_sets: bool, dtype: type) -> _Columns:
    schema = pyarrow.parquet.read_schema(path)
    used = _used_columns(path, schema.names, needs_sets)
    _check_types(path, schema, used)
    text = pa.string(), pa.large_string()
    dictionary = ["set"] if "set" in used and schema.field("set").type in text else []
    with pyarrow.parquet.ParquetFile(path, read_dictionary=dictionary) as file:
        batches = file.iter_batches(columns=used)
        return _Collector(path, used, dtype, file.metadata.num_rows).columns(batches)


def _is_value(column: str) -> bool:
    return re.fullmatch(r"(scores|logits)(_\d+)?", column) is not None


def _is_known(column: str) -> bool:
    return _is_value(column) or column in _other_names(needs_sets=True)


def _other_names(needs_sets: bool) -> list[str]:
    return ["labels", "member", "set"] if needs_sets else ["labels", "member"]


def _used_columns(path: Path, names: list[str], needs_sets: bool) -> list[str]:
    """Return the columns that are read: of scores, of logits, then the others."""
    for name in filter(_is_known, names):
        if names.count(name) > 1:
            raise UserError(f"{path}: column {name} is there {names.count(name)} times")
    values = [name for name in names if _is_value(name)]
    if not values:
        raise _has_no_values(path, names)
    used = []
    for kind in KINDS:
        if any(name.startswith(kind) for name in values):
            used += _columns_of(path, kind, values)
    used += _other_names(needs_sets)
    _require(path, names, used, "column")
    return used


def _columns_of(path: Path, kind: str, values: list[str]) -> list[str]:
    """Return the columns of scores or of logits: the numbered ones, or else the plain one."""
    numbered = [name for name in values if name.startswith(f"{kind}_")]
    from_zero = [f"{kind}_{place}" for place in range(len(numbered))] or [kind]
    from_one = [f"{kind}_{place}" for place in range(1, len(numbered) + 1)]
    if len(numbered) > 1 and set(numbered) == set(from_one):
        raise UserError(
            f"{path}: columns are counted from 1, {from_one[0]} to {from_one[-1]}, or {kind}_0 is "
            f"missing; allowed: from 0, as labels count the classes, {from_zero[0]} to "
            f"{from_zero[-1]}"
        )
    return from_zero


def _has_no_values(path: Path, names: Collection[str]) -> UserError:
    return UserError(
        f"{path}: has neither scores nor logits; allowed: scores_0, scores_1, … or logits_0, "
        f"logits_1, … (in NPZ scores or logits, rows × classes); found: {_listed(names)}"
    )


def _require(path: Path, names: Collection[str], needed: list[str], kind: str) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        raise UserError(f"{path}: {kind} {missing[0]} is missing; found: {_listed(names)}")


def _listed(names: Collection[str]) -> str:
    more = len(names) - NAMES_IN_MESSAGE
    listed = ", ".join(sorted(names)[:NAMES_IN_MESSAGE])
    return f"{listed}, and {more} more" if more > 0 else listed


def _check_types(path: Path, schema: pa.Schema, used: list[str]) -> None:
    for name in filter(_is_value, used):
        kind = schema.field(name).type
        number = kind.value_type if _is_list(kind) else kind
        allowed = pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal
        if not any(is_allowed(number) for is_allowed in allowed):
            raise UserError(f"{path}: {name} has type {kind}; allowed: numbers")
    if "set" in used:
        kind = schema.field("set").type
        if pa.types.is_binary(kind) or pa.types.is_nested(kind):
            raise UserError(f"{path}: set has type {kind}; allowed: text in UTF-8")


class _Collector:
    """Gathers the used columns of a table batch by batch, scores and logits as floats of a type.

    It never holds more than the numbers themselves where the number of rows is known.
    """

    def __init__(self, path: Path, used: list[str], dtype: type, rows: int | None = None) -> None:
        self.path, self.used, self.dtype, self.rows = path, used, dtype, rows
        self.read = 0
        self.values: dict[str, list[Array]] = {}
        self.whole: dict[str, Array] = {}
        self.maxima: list[Float64] = []
        self.labels: list[Array] = []
        self.member: list[Array] = []
        self.codes: list[npt.NDArray[np.int32]] = []
        self.names: dict[str, int] = {}

    def _add(self, batch: pa.RecordBatch) -> None:
        for kind in KINDS:
            columns = [name for name in self.used if name.startswith(kind)]
            if not columns:
                continue
            matrix = self._matrix(batch, columns)
            if kind == "scores":
                self.maxima.append(_maxima(matrix))
            with np.errstate(over="ignore"):
                self._add_values(kind, matrix.astype(self.dtype, copy=False))
        self.labels.append(self._plain(batch, "labels"))
        self.member.append(self._member(batch))
        if "set" in self.used:
            self.codes.append(self._set_codes(batch.column("set")))
        self.read += batch.num_rows

    def _add_values(self, kind: str, values: Array) -> None:
        if self.rows is None:
            self.values.setdefault(kind, []).append(values)
            return
        if kind not in self.whole:
            self.whole[kind] = np.empty((self.rows, values.shape[1]), dtype=self.dtype)
        whole = self.whole[kind]
        if values.shape[1] != whole.shape[1]:
            raise UserError(
                f"{self.path}: rows from {self.read} on have {values.shape[1]} values, "
                f"those before {whole.shape[1]}"
            )
        whole[self.read : self.read + len(values)] = values

    def _matrix(self, batch: pa.RecordBatch, columns: list[str]) -> Array:
        first = batch.column(columns[0])
        if len(columns) > 1 or not _is_list(first.type):
            return np.stack([self._plain(batch, column) for column in columns], axis=1)
        self._no_nulls(first, columns[0])
        width = len(first[0]) if len(first) else 0
        flat = first.flatten().to_numpy(zero_copy_only=False)
        lengths = np.full(len(first), width)
        if not pa.types.is_fixed_size_list(first.type):
            lengths = np.asarray(first.value_lengths())
        check_rows(
            self.path,
            lengths != width,
            lambda row: f"of {columns[0]} has {lengths[row]} values, row {self.read} has {width}",
            self.read,
        )
        matrix: Array = flat.reshape(len(first), width)
        return matrix

    def _plain(self, batch: pa.RecordBatch, name: str) -> Array:
        column = batch.column(name)
        self._no_nulls(column, name)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        array: Array = column.to_numpy(zero_copy_only=False)
        return array

    def _member(self, batch: pa.RecordBatch) -> Array:
        column = batch.column("member")
        if not pa.types.is_dictionary(column.type):
            return self._plain(batch, "member")
        self._no_nulls(column, "member")
        texts = [str(text) for text in column.dictionary.to_pylist()]
        indices = column.indices.to_numpy(zero_copy_only=False)
        return _truths(self.path, texts, indices, self.read)

    def _no_nulls(self, column: pa.Array, name: str) -> None:
        if column.null_count:
            empty = column.is_null().to_numpy(zero_copy_only=False)
            check_rows(self.path, empty, lambda row: f"of {name} is empty", self.read)

    def _set_codes(self, column: pa.Array) -> npt.NDArray[np.int32]:
        self._no_nulls(column, "set")
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        here = [str(name) for name in column.dictionary.to_numpy(zero_copy_only=False)]
        lookup = [self.names.setdefault(name, len(self.names)) for name in here]
        indices = column.indices.to_numpy(zero_copy_only=False)
        return np.asarray(lookup, dtype=np.int32)[indices]

    def columns(self, batches: Iterable[pa.RecordBatch]) -> _Columns:
        """Take all batches, and return them as one."""
        for batch in batches:
            self._add(batch)
        if not self.labels:
            raise UserError(f"{self.path}: has no rows")
        values = {kind: np.concatenate(parts) for kind, parts in self.values.items()}
        codes = np.concatenate(self.codes) if self.codes else np.zeros(self.read, dtype=np.int32)
        return _Columns(
            values=self.whole | values,
            labels=np.concatenate(self.labels),
            member=np.concatenate(self.member),
            set_names=tuple(self.names) or ("-",),
            set_codes=codes,
            maxima=np.concatenate([np.empty(0), *self.maxima]),
        )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _checked(path: Path, columns: _Columns, needs_sets: bool) -> ScoreSet:
    for name, array in columns.values.items():
        _check_shapes(path, name, array, columns)
    values = {name: _as_numbers(path, name, array) for name, array in columns.values.items()}
    scores, logits, notes = values.get("scores"), values.get("logits"), columns.notes
    if scores is not None:
        notes = (*notes, *_check_scores(path, scores))
    if logits is not None:
        softmax = _softmax(path, logits)
        if scores is None:
            scores = softmax
        else:
            _check_agreement(path, scores, softmax)
    assert scores is not None
    labels = _check_labels(path, columns.labels, scores.shape[1])
    member = _check_member(path, columns.member)
    if needs_sets and "" in columns.set_names:
        nameless = columns.set_codes == columns.set_names.index("")
        check_rows(path, nameless, lambda row: "of set is empty")
    check_text(path, columns.set_names)
    result = ScoreSet(scores, labels, member, columns.set_names, columns.set_codes, notes, logits)
    _check_membership(path, result, needs_sets)
    return result


def _check_agreement(path: Path, scores: Float32, softmax: Float32) -> None:
    if scores.shape != softmax.shape:
        raise UserError(
            f"{path}: scores has {scores.shape[1]} classes, logits {softmax.shape[1]}; allowed: as "
            "many, or one of the two"
        )
    off = in_blocks(lambda one, other: np.abs(one - other).max(axis=1), scores, softmax)
    check_rows(
        path,
        off > DISAGREEMENT + ROUNDING,
        lambda row: (
            f"of scores is {off[row]:.2g} from the softmax of its logits; allowed: "
            f"{DISAGREEMENT:g} at most, or only one of the two"
        ),
    )


def _check_shapes(path: Path, name: str, values: Array, columns: _Columns) -> None:
    if values.ndim != 2:
        way_out = f"; {_of_two_classes(name)}" if values.ndim == 1 else ""
        raise UserError(
            f"{path}: {name} has {values.ndim} dimensions; allowed: 2, rows × classes{way_out}"
        )
    rows, classes = values.shape
    if rows == 0:
        raise UserError(f"{path}: has no rows")
    if classes < 2:
        raise UserError(
            f"{path}: {name} has {classes} column(s); allowed: at least 2, one for each class; "
            f"{_of_two_classes(name)}"
        )
    others = {"labels": columns.labels, "member": columns.member, "set": columns.set_codes}
    for other, array in others.items():
        if array.shape != (rows,):
            raise UserError(
                f"{path}: {other} has shape {list(array.shape)}, {name} has {rows} rows; "
                f"allowed: [{rows}]"
            )


def _of_two_classes(name: str) -> str:
    """Return how the one number that a sigmoid has of each image becomes two."""
    if name == "logits":
        return "if it is z of sigmoid(z), give `np.c_[0 * z, z]`: logits_0 = 0, logits_1 = z"
    return (
        "if it is class 1's probability p, give `np.c_[1 - p, p]`: scores_0 = 1 - p, scores_1 = p"
    )


def _as_numbers(path: Path, name: str, values: Array) -> Float32:
    if values.dtype.kind not in "fiu":
        raise UserError(f"{path}: {name} has type {values.dtype}; allowed: numbers, e.g. float32")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def _check_finite(path: Path, name: str, values: Float32) -> None:
    broken = in_blocks(lambda rows: ~np.isfinite(rows).all(axis=1), values)
    check_rows(path, broken, lambda row: f"of {name} has NaN, or infinity in float32")


def _check_scores(path: Path, scores: Float32) -> list[str]:
    _check_finite(path, "scores", scores)
    beyond = in_blocks(lambda rows: beyond_01(rows).any(axis=1), scores)
    question = "are these logits, or percentages?"
    check_rows(path, beyond, lambda row: f"of scores leaves [0, 1]; {question}")
    np.clip(scores, 0, 1, out=scores)
    sums = scores.sum(axis=1, dtype=np.float64)
    off = distance_from_one(sums)
    check_rows(
        path,
        off > SUM_TOLERANCE,
        lambda row: (
            f"of scores sums to {sums[row].round(6):.7g}; allowed: {1 - SUM_TOLERANCE:g} "
            f"to {1 + SUM_TOLERANCE:g}; give logits, or divide each row by its sum"
        ),
    )
    count = np.count_nonzero(off > NOTED_SUM)
    if not count:
        return []
    return [
        f"{path}: {count:,} of {len(off):,} rows of scores miss a sum of 1 by more than "
        f"{NOTED_SUM}, by {off.max():.2g} at most; taken as given."
    ]


def _softmax(path: Path, logits: Float32) -> Float32:
    _check_finite(path, "logits", logits)
    scores = np.empty_like(logits)
    for rows in blocks(*logits.shape):
        exact = logits[rows].astype(np.float64)
        powers = np.exp(exact - exact.max(axis=1, keepdims=True))
        # Sorted, since in another order of the classes the same numbers have another sum.
        scores[rows] = powers / np.sort(powers).sum(axis=1, keepdims=True)
    return scores


def _check_labels(path: Path, labels: Array, classes: int) -> Int64:
    labels = whole_numbers(labels)
    if labels.dtype.kind == "f":
        broken = ~np.isfinite(labels) | (labels != labels.round())
        check_rows(path, broken, lambda row: f"of labels is {labels[row]}; allowed: whole numbers")
    if labels.dtype.kind not in "iu":
        kind = "text" if labels.dtype.kind in "OUS" else labels.dtype
        raise UserError(f"{path}: labels has type {kind}; allowed: whole numbers")
    allowed = f"allowed: 0 to {classes - 1}, or -1 for an image without label"
    beyond = (labels < -1) | (labels >= classes)
    check_rows(path, beyond, lambda row: f"of labels is {labels[row]}; {allowed}")
    return labels.astype(np.int64, copy=False)


def _check_member(path: Path, member: Array) -> Bool:
    if member.dtype.kind == "b":
        return member
    if member.dtype.kind in "OUS":
        texts, codes = np.unique(member.astype(str), return_inverse=True)
        return _truths(path, list(texts), codes, 0)
    other = ~np.isin(member, (0, 1))
    check_rows(path, other, lambda row: f"of member is {member[row]}; allowed: true/false or 0/1")
    return member.astype(np.bool_)


def _truths(path: Path, texts: list[str], codes: Array, first: int) -> Bool:
    """Return what words say; `codes` index into `texts`, `first` is the number of their first."""
    truths = [TRUTH.get(text.strip().lower()) for text in texts]
    wrong = np.asarray([truth is None for truth in truths], dtype=np.bool_)[codes]
    words = [f"of member is {repr(t) if t else 'empty'}; allowed: true/false or 0/1" for t in texts]
    check_rows(path, wrong, lambda row: words[codes[row]], first)
    return np.asarray(truths, dtype=np.bool_)[codes]


def _check_membership(path: Path, scores: ScoreSet, needs_sets: bool) -> None:
    if not scores.member.any():
        raise UserError(f"{path}: has no members; some rows of member have to be true")
    if scores.member.all():
        raise UserError(f"{path}: has only members; some rows of member have to be false")
    if needs_sets and (rows := scores.nonmember_sets().get(MEMBERS)) is not None:
        raise UserError(f"{path}: row {rows[0]} is of set {MEMBERS} but its member is false")
