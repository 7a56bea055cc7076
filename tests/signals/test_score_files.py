"""Score files of every form give the same audit; malformed ones are named."""

import csv
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy.special import softmax

from tests.attacks.attacking import LEARNED, attack
from trustmia.arrays import Bool
from trustmia.attacks.outcome import AttackRun
from trustmia.errors import UserError
from trustmia.signals.checks import SUM_TOLERANCE
from trustmia.signals.container import Signals, read_score_files
from trustmia.signals.scores import ScoreSet, read_scores, write_scores

Arrays = dict[str, npt.NDArray[Any]]
Writer = Callable[[Path, Arrays], Path]


def scores_of_a_model(seed: int, sets: tuple[str, ...], rows: int = 40, classes: int = 4) -> Arrays:
    rng = np.random.default_rng(seed)
    names = np.repeat(np.asarray(["members", *sets]), rows)
    member = names == "members"
    labels = rng.integers(classes, size=len(names))
    logits = rng.normal(size=(len(names), classes))
    logits[np.arange(len(names)), labels] += np.where(member, 4, 1.5)
    logits = logits.astype(np.float32)
    scores = softmax(logits.astype(np.float64), axis=1).astype(np.float32)
    return {"logits": logits, "scores": scores, "labels": labels, "member": member, "set": names}


def without(arrays: Arrays, *names: str) -> Arrays:
    return {name: array for name, array in arrays.items() if name not in names}


def changed(arrays: Arrays, name: str, place: Any, value: object) -> Arrays:
    array = arrays[name].copy()
    array[place] = value
    return arrays | {name: array}


def frame(arrays: Arrays, values: str = "scores") -> pd.DataFrame:
    columns = {f"{values}_{k}": column for k, column in enumerate(arrays[values].T)}
    return pd.DataFrame(columns | without(arrays, "scores", "logits"))


def of_both(arrays: Arrays) -> pd.DataFrame:
    logits = frame(arrays, "logits").filter(like="logits")
    return pd.concat([logits, frame(arrays)], axis=1)


def npz(*left_out: str) -> Writer:
    def write(path: Path, arrays: Arrays) -> Path:
        np.savez(path.with_suffix(".npz"), **without(arrays, *left_out))  # type: ignore[arg-type]
        return path.with_suffix(".npz")

    return write


def csv_of(text: Callable[[Arrays], str]) -> Writer:
    return lambda path, arrays: write_text(path, text(arrays))


def parquet_of(table: Callable[[Arrays], pa.Table]) -> Writer:
    def write(path: Path, arrays: Arrays) -> Path:
        parquet.write_table(table(arrays), path.with_suffix(".parquet"), row_group_size=17)
        return path.with_suffix(".parquet")

    return write


def write_text(path: Path, text: str) -> Path:
    path.with_suffix(".csv").write_text(text, encoding="utf-8", newline="")
    return path.with_suffix(".csv")


def of_digits(arrays: Arrays) -> str:
    shuffled = frame(arrays, "logits").assign(member=arrays["member"].astype(int))
    return shuffled.iloc[:, ::-1].to_csv(index=False)


def like_numpy(arrays: Arrays) -> str:
    header, rows = frame(arrays).to_csv(index=False).split("\n", 1)
    return f"# {header.upper()}\n{rows.replace('True', 'tRUE')}"


def with_blanks(arrays: Arrays) -> str:
    return frame(arrays).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).replace(",", ", ")


def of_lists(arrays: Arrays, size: int = -1) -> pa.Table:
    values = pa.array(arrays["scores"].tolist(), type=pa.list_(pa.float32(), size))
    return pa.table({"scores": values, **without(arrays, "logits", "scores")})


write_npz, write_npz_logits, write_npz_of_both = npz("logits"), npz("scores"), npz()
write_csv = csv_of(lambda arrays: frame(arrays).to_csv(index=False))
write_csv_of_digits = csv_of(of_digits)
write_csv_with_semicolons = csv_of(
    lambda arrays: frame(arrays).to_csv(sep=";", decimal=",").replace("\n", ";\n")
)
write_csv_with_quoted_decimal_commas = csv_of(lambda arrays: frame(arrays).to_csv(decimal=","))
write_csv_with_tabs = csv_of(
    lambda arrays: "\ufeff" + frame(arrays).to_csv(sep="\t", lineterminator="\r\n")
)
write_parquet = parquet_of(lambda arrays: pa.Table.from_pandas(frame(arrays)))
BOTH = [
    write_npz_of_both,
    csv_of(lambda arrays: of_both(arrays).to_csv(index=False)),
    parquet_of(lambda arrays: pa.Table.from_pandas(of_both(arrays))),
]
WRITERS = [
    *(*BOTH, write_npz_logits, write_csv, write_csv_of_digits, write_csv_with_semicolons),
    *(write_csv_with_quoted_decimal_commas, write_csv_with_tabs, write_parquet),
    csv_of(lambda arrays: "\n" + frame(arrays).to_csv(sep="|", quoting=csv.QUOTE_ALL)),
    *map(csv_of, (with_blanks, like_numpy)),
    *map(parquet_of, (of_lists, lambda arrays: of_lists(arrays, arrays["scores"].shape[1]))),
]
SHADOW = scores_of_a_model(0, ("original",))
TARGET = scores_of_a_model(1, ("zebra", "ant"))


def audit(folder: Path, write: Writer) -> AttackRun:
    shadow = write(folder / "shadow", without(SHADOW, "set"))
    signals = read_score_files(shadow, write(folder / "target", TARGET))
    return attack(signals, ["threshold", "entropy"])


def attacked(target: ScoreSet, folder: Path, *names: str) -> AttackRun:
    """Return what attacks, else threshold and entropy, make of scores after the shadow's."""
    shadow = read_scores(write_npz(folder / "shadow", without(SHADOW, "set")), needs_sets=False)
    quick = {"salem": {"max_epochs": 1}}
    return attack(Signals(target, shadow), names or ["threshold", "entropy"], quick)


def sets_of(read: ScoreSet) -> list[str]:
    """Return the set of each row."""
    return np.asarray(read.set_names)[read.set_codes].tolist()


def decided(found: AttackRun, name: str) -> Bool:
    """Return which rows an attack calls members."""
    decisions = found.forms[name].decisions
    assert decisions is not None
    return decisions.called


@pytest.mark.parametrize("write", WRITERS)
def test_every_form_gives_the_same_audit(write: Writer, tmp_path: Path) -> None:
    expected, found = audit(tmp_path, write_npz), audit(tmp_path, write)
    for name, form in expected.forms.items():
        groups = found.forms[name].groups
        assert list(groups) == list(form.groups) == ["members", "zebra", "ant"]
        assert all(np.array_equal(groups[key], rows) for key, rows in form.groups.items())
        assert found.forms[name].learned == pytest.approx(form.learned, abs=1e-6)
        np.testing.assert_allclose(found.forms[name].scores, form.scores, atol=1e-6)
        assert np.array_equal(decided(found, name), decided(expected, name))


@pytest.mark.parametrize("write", [*BOTH, write_npz_logits, write_csv_of_digits])
def test_logits_are_kept_and_rank(write: Writer, tmp_path: Path) -> None:
    far = TARGET["logits"] * np.float32(30)
    saturated = TARGET | {"logits": far, "scores": softmax(far.astype(np.float64), axis=1)}
    read = read_scores(write(tmp_path / "target", saturated), needs_sets=True)
    assert read.logits is not None
    np.testing.assert_allclose(read.logits, far, rtol=1e-6)
    np.testing.assert_allclose(read.scores, saturated["scores"], atol=1e-6)
    single = saturated | {"scores": saturated["scores"].astype(np.float32)}
    alone = read_scores(write_npz(tmp_path / "alone", single), needs_sets=True)
    found, tied = (attacked(target, tmp_path) for target in (read, alone))
    for name, form in found.forms.items():
        assert np.array_equal(form.scores, tied.forms[name].scores)
        assert np.array_equal(decided(found, name), decided(tied, name))
        assert form.exact and not tied.forms[name].exact
        assert len(np.unique(form.ranking)) == 120 > len(np.unique(tied.forms[name].ranking))


@pytest.mark.parametrize("write", BOTH)
@pytest.mark.parametrize(
    ("logits", "problem"),
    [
        (lambda z: z / 2, r"row 0 of scores is 0\.\d+ from the softmax .*; allowed: 0.01"),
        (lambda z: z[:, ::-1], "from the softmax of its logits"),
        (lambda z: z[:, :3], "scores has 4 classes, logits 3; allowed: as many, or one of the two"),
        (lambda z: np.where(z == z[7, 2], np.inf, z), "row 7 of logits has NaN, or infinity"),
    ],
)
def test_logits_that_are_not_those_of_the_scores_are_refused(
    write: Writer, logits: Callable[[Any], Any], problem: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "target", TARGET | {"logits": logits(TARGET["logits"])})
    with pytest.raises(UserError, match=problem):
        read_scores(path, needs_sets=True)


def test_rounding_of_scores_or_logits_is_no_disagreement(tmp_path: Path) -> None:
    rounded = {"scores": TARGET["scores"].round(2), "logits": TARGET["logits"].astype(np.float16)}
    for name, values in rounded.items():
        path = write_npz_of_both(tmp_path / name, TARGET | {name: values})
        assert read_scores(path, needs_sets=True).logits is not None


def in_float64(arrays: Arrays) -> Arrays:
    """Return scores that tie in float32, most of them, and none of which do in float64."""
    far = arrays["logits"].astype(np.float64) * 5
    return without(arrays, "logits") | {"scores": softmax(far, axis=1)}


@pytest.mark.parametrize("write", [write_npz, write_csv, write_csv_with_semicolons, write_parquet])
def test_scores_rank_as_they_are_in_the_file(write: Writer, tmp_path: Path) -> None:
    arrays = in_float64(TARGET)
    read = read_scores(write(tmp_path / "target", arrays), needs_sets=True)
    assert read.scores.dtype == np.float32 and read.logits is None
    assert read.log_scores is not None
    np.testing.assert_allclose(read.log_scores, np.log(arrays["scores"]), rtol=1e-12, atol=1e-15)
    found = attacked(read, tmp_path)
    odds = np.sort(arrays["scores"], axis=1)
    expected = np.log(odds[:, -1]) - np.log(odds[:, :-1].sum(axis=1))
    np.testing.assert_allclose(found.forms["threshold"].ranking, expected, rtol=1e-9)
    assert all(len(np.unique(form.ranking)) == 120 for form in found.forms.values())


@pytest.mark.parametrize("write", [write_npz, write_csv, write_parquet])
@pytest.mark.parametrize(
    "as_written",
    [
        lambda scores: scores.astype(np.float32),
        lambda scores: scores.astype(np.float32).astype(np.float64),
        lambda scores: scores.round(6),
        lambda scores: scores.astype(np.float16).astype(np.float64),
    ],
)
def test_scores_that_float32_ranks_as_well_are_read_once(
    as_written: Callable[[Any], Any], write: Writer, tmp_path: Path
) -> None:
    arrays = in_float64(TARGET)
    path = write(tmp_path / "target", arrays | {"scores": as_written(arrays["scores"])})
    assert read_scores(path, needs_sets=True).finer is None


def test_scores_of_0_in_float64_rank(tmp_path: Path) -> None:
    arrays = in_float64(TARGET)
    arrays["scores"][:9] = [1, 0, 0, 0]
    read = read_scores(write_npz(tmp_path / "target", arrays), needs_sets=True)
    found = attacked(read, tmp_path, *LEARNED)
    for form in found.forms.values():
        assert np.isfinite(form.ranking).all() and len(np.unique(form.ranking[:9])) == 1


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = read_scores(write_npz_of_both(tmp_path / "brought", TARGET), needs_sets=True)
    write_scores(tmp_path / "kept.npz", written)
    kept = read_scores(tmp_path / "kept.npz", needs_sets=True)
    for name in ("scores", "logits", "labels", "member"):
        assert np.array_equal(getattr(kept, name), TARGET[name]), name
    assert sets_of(kept) == TARGET["set"].tolist()


@pytest.mark.parametrize("size", [1, 1e4])
def test_logits_become_their_softmax_however_large(size: float, tmp_path: Path) -> None:
    large = TARGET["logits"] * np.float32(size)
    read = read_scores(write_npz_logits(tmp_path / "x", TARGET | {"logits": large}), True)
    assert read.scores == pytest.approx(softmax(large.astype(np.float64), axis=1), abs=1e-6)


def test_rows_of_a_set_are_its_non_members_alone(tmp_path: Path) -> None:
    mixed = TARGET | {"set": np.where(TARGET["set"] == "zebra", "zebra", "rest")}
    rows = read_scores(write_npz(tmp_path / "mixed", mixed), needs_sets=True).nonmember_sets()
    assert list(rows) == ["zebra", "rest"]
    assert rows["rest"].tolist() == np.flatnonzero(TARGET["set"] == "ant").tolist()


def test_set_column_of_the_shadow_is_not_needed(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "shadow", without(SHADOW, "set"))
    assert len(read_scores(path, needs_sets=False).nonmember_sets()) == 1
    with pytest.raises(UserError, match=r"shadow\.csv: column set is missing; found: labels"):
        read_scores(path, needs_sets=True)


NAMES = ["0.10", "0.1", "01", "1", "007", "true", "True", "NA", "null", "nan", "N/A", "2024-01-01"]
NAMES += ["1e3", "1000", "a,b", "a;b", " a", "a", "ä", 'a "b"', "Infinity", "-0", "0"]


@pytest.mark.parametrize("write", [write_npz, write_csv, write_csv_with_semicolons, write_parquet])
def test_set_is_text_to_the_letter(write: Writer, tmp_path: Path) -> None:
    names = np.resize(np.asarray(NAMES), 120)
    path = write(tmp_path / "x", TARGET | {"set": names, "member": names == "a"})
    assert sets_of(read_scores(path, True)) == names.tolist()


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.asarray([7, 10]), ["7", "10"]),
        (np.asarray([0.1, 2.5], dtype=np.float32), ["0.1", "2.5"]),
        (np.asarray([True, False]), ["True", "False"]),
    ],
)
def test_numbers_as_names_of_sets_are_their_text(
    values: npt.NDArray[Any], names: list[str], tmp_path: Path
) -> None:
    for write in (write_npz, write_parquet):
        path = write(tmp_path / "x", TARGET | {"set": np.resize(values, 120)})
        assert sets_of(read_scores(path, True)) == np.resize(names, 120).tolist()


def test_categories_are_their_text_and_unused_ones_nothing(tmp_path: Path) -> None:
    sets = pd.Categorical(TARGET["set"], categories=["", "zebra", "ant", "members"])
    frame(TARGET).assign(set=sets).to_parquet(tmp_path / "x.parquet")
    found = read_scores(tmp_path / "x.parquet", needs_sets=True)
    assert list(found.nonmember_sets()) == ["zebra", "ant"]


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("0,1,1,true,members,1", "0.25,0.75,1,false,other,1"),
        ("0,1,1,1,members,1", "0.25,0.75,1,FALSE,other,1"),
        ("0,1,1,1,01,1", "0.25,0.75,1,0,svhn,1"),
        ("0,1,1,1,members,1", "0.25,0.75,1,0,other,word"),
        ('0,1,1,1,"two\nlines",1', "0.25,0.75,1,0,other,1"),
        ("0,1,1,1,members,1", '"0,25","0,75",1,0,other,1'),
    ],
)
def test_types_of_csv_do_not_follow_from_its_first_megabyte(
    early: str, late: str, tmp_path: Path
) -> None:
    rows = ["scores_0,scores_1,labels,member,set,note", *[early] * 60_000, late]
    read = read_scores(write_text(tmp_path / "late", "\n".join(rows) + "\n"), needs_sets=True)
    assert read.scores[-1].tolist() == [0.25, 0.75]
    assert read.member.tolist() == [True] * 60_000 + [False]


@pytest.mark.parametrize(
    ("write", "notes"),
    [
        (write_csv, []),
        (write_csv_with_semicolons, ["columns are separated by semicolons", "decimal commas"]),
        (write_csv_with_tabs, ["columns are separated by tabs"]),
        (write_csv_with_quoted_decimal_commas, ["decimal commas"]),
    ],
)
def test_what_was_guessed_of_a_csv_is_told(write: Writer, notes: list[str], tmp_path: Path) -> None:
    found = read_scores(write(tmp_path / "x", TARGET), needs_sets=True).notes
    assert len(found) == len(notes)
    assert all(note in said for note, said in zip(notes, found, strict=True))


def bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return ((values.view(np.uint32) + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


ROUNDINGS: dict[str, Callable[[Any], Any]] = {
    "two digits": lambda scores: scores.round(2),
    "three digits": lambda scores: scores.round(3),
    "four digits": lambda scores: scores.round(4),
    "float16": lambda scores: scores.astype(np.float16),
    "bfloat16": bfloat16,
}


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounded_probabilities_are_scores_and_taken_as_given(
    rounding: str, classes: int, tmp_path: Path
) -> None:
    arrays = scores_of_a_model(3, ("other",), 400, classes)
    arrays["scores"] = ROUNDINGS[rounding](arrays["scores"])
    off = np.abs(arrays["scores"].sum(axis=1, dtype=np.float64) - 1).round(6)
    path = write_npz(tmp_path / "x", arrays)
    if off.max() > SUM_TOLERANCE:
        assert (rounding, classes) == ("two digits", 100)
        with pytest.raises(UserError, match=r"sums to 0\..*; allowed: 0.95 to 1.05; give logits"):
            read_scores(path, needs_sets=True)
        return
    read = read_scores(path, needs_sets=True)
    assert np.array_equal(read.scores, arrays["scores"].astype(np.float32))
    count = np.count_nonzero(off > 0.001)
    assert len(read.notes) == (count > 0)
    for note in read.notes:
        assert f"{count} of 800 rows of scores miss a sum of 1 by more than 0.001" in note
        assert note.endswith("taken as given.")


REFUSED = ["0.949", "0.94999", "0.949998", "1.050002", "1.0501"]


@pytest.mark.parametrize("total", ["0.95", "0.9499999", "1.05", "1.0500001", *REFUSED])
def test_sums_beyond_the_bounds_are_told_with_enough_digits(total: str, tmp_path: Path) -> None:
    lines = ["scores_0,scores_1,labels,member", f"{float(total) - 0.5:.8f},0.5,0,1", "0.5,0.5,0,0"]
    path = write_text(tmp_path / "x", "\n".join(lines))
    told = f"row 0 of scores sums to {total}; allowed: 0.95 to 1.05"
    with pytest.raises(UserError, match=told) if total in REFUSED else nullcontext():
        read_scores(path, needs_sets=False)


@pytest.mark.parametrize("written", ["float", "text", "decimal"])
@pytest.mark.parametrize("write", [write_npz, write_parquet, write_csv])
def test_whole_numbers_are_read_whatever_their_type(
    write: Writer, written: str, tmp_path: Path
) -> None:
    names = ("labels", "member") if written == "float" else ("member",)
    kind = np.float64 if written == "float" else str
    other = TARGET | {name: TARGET[name].astype(kind) for name in names}
    path = write(tmp_path / "target", other)
    if written == "decimal" and path.suffix == ".parquet":
        table = parquet.read_table(path)
        for k in range(4):
            column = table[f"scores_{k}"].cast(pa.decimal128(12, 9), safe=False)
            table = table.set_column(k, f"scores_{k}", column)
        parquet.write_table(table, path)
    found, plain = read_scores(path, True), read_scores(write_npz(tmp_path / "plain", TARGET), True)
    assert (found.member == plain.member).all() and (found.labels == plain.labels).all()
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-6)


def test_what_rounding_leaves_outside_of_0_to_1_is_within(tmp_path: Path) -> None:
    path = write_npz(
        tmp_path / "s", TARGET | {"scores": np.full((120, 4), [1 + 2e-7, 0, 0, -2e-7])}
    )
    assert read_scores(path, True).scores.tolist() == [[1, 0, 0, 0]] * 120


@pytest.mark.parametrize("column", ["note", "set", "scores_3"])
@pytest.mark.parametrize("quotes", [1, 2])
def test_a_quote_that_takes_in_rows_is_told(column: str, quotes: int, tmp_path: Path) -> None:
    table = frame(TARGET).assign(note="12 inches").astype(str)
    table.loc[[50, 60][:quotes], column] = '"' + table[column]
    path = write_text(tmp_path / "target", table.to_csv(index=False, quoting=csv.QUOTE_NONE))
    with pytest.raises(UserError, match=r"row 50 (has a quote|of|has \d+ cells)"):
        read_scores(path, True)


def test_a_quote_within_a_cell_and_a_line_within_quotes_are_text(tmp_path: Path) -> None:
    names = np.where(TARGET["member"], "members", '12" and\n"13"')
    read = read_scores(write_csv(tmp_path / "target", TARGET | {"set": names}), True)
    assert set(read.set_names) == {"members", '12" and\n"13"'}
    text = frame(TARGET).assign(note='12" wide').to_csv(index=False, quoting=csv.QUOTE_NONE)
    assert len(read_scores(write_text(tmp_path / "inches", text), True).member) == 120


@pytest.mark.parametrize(("digits", "refused"), [(3, True), (2, False)])
def test_thousands_are_not_taken_for_decimals(digits: int, refused: bool, tmp_path: Path) -> None:
    logits = np.random.default_rng(0).integers(1000, 9999, size=(120, 4)) / 10**digits
    table = frame(TARGET | {"logits": logits}, "logits")
    text = table.to_csv(sep=";", decimal=",", index=False, float_format=f"%.{digits}f")
    path = write_text(tmp_path / "target", text)
    if refused:
        with pytest.raises(UserError, match="may be decimals or thousands; allowed: numbers"):
            read_scores(path, True)
    else:
        assert (read_scores(path, True).scores.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_a_name_that_is_no_unicode_is_told(tmp_path: Path) -> None:
    names = np.where(TARGET["member"], "members", "\ud800")
    with pytest.raises(UserError, match="is no text in Unicode"):
        read_scores(write_npz(tmp_path / "target", TARGET | {"set": names}), True)


def test_numbered_columns_go_before_one_of_the_plain_name(tmp_path: Path) -> None:
    path = write_text(tmp_path / "target", frame(TARGET).assign(scores=7).to_csv(index=False))
    assert (read_scores(path, True).scores == TARGET["scores"]).all()


@pytest.mark.parametrize("first", ["labels", "logits_0"])
def test_a_comma_between_columns_is_none_of_a_number(first: str, tmp_path: Path) -> None:
    logits = np.random.default_rng(0).integers(1000, 9999, size=(120, 4))
    table = frame(TARGET | {"logits": logits}, "logits").assign(member=TARGET["member"].astype(int))
    for name in table.filter(like="logits"):
        table[name] = table[name].map("{:,}".format)
    rest = [name for name in table if name not in (first, "member")]
    text = table[[first, "member", *rest]].to_csv(index=False)
    with pytest.raises(UserError, match="may be decimals or thousands"):
        read_scores(write_text(tmp_path / "target", text), True)
