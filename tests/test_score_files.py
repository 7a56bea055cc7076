"""Score files of every form give the same audit; malformed ones are named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from trustmia.attacks import AttackSettings
from trustmia.audit import AuditResult, run_audit
from trustmia.errors import UserError
from trustmia.score_files import read_scores, write_scores

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
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    scores = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return {"logits": logits, "scores": scores, "labels": labels, "member": member, "set": names}


def without(arrays: Arrays, *names: str) -> Arrays:
    return {name: array for name, array in arrays.items() if name not in names}


def frame(arrays: Arrays, values: str = "scores") -> pd.DataFrame:
    columns = {f"{values}_{k}": column for k, column in enumerate(arrays[values].T)}
    return pd.DataFrame(columns | without(arrays, "scores", "logits"))


def write_npz(path: Path, arrays: Arrays) -> Path:
    np.savez(path.with_suffix(".npz"), **without(arrays, "logits"))  # type: ignore[arg-type]
    return path.with_suffix(".npz")


def write_npz_logits(path: Path, arrays: Arrays) -> Path:
    np.savez(path.with_suffix(".npz"), **without(arrays, "scores"))  # type: ignore[arg-type]
    return path.with_suffix(".npz")


def write_csv(path: Path, arrays: Arrays) -> Path:
    frame(arrays).to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def write_csv_of_digits(path: Path, arrays: Arrays) -> Path:
    shuffled = frame(arrays, "logits").assign(member=arrays["member"].astype(int))
    shuffled.iloc[:, ::-1].to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def write_parquet(path: Path, arrays: Arrays) -> Path:
    table = pa.Table.from_pandas(frame(arrays))
    parquet.write_table(table, path.with_suffix(".parquet"), row_group_size=17)
    return path.with_suffix(".parquet")


def write_lists(path: Path, arrays: Arrays, kind: pa.DataType) -> Path:
    columns = without(arrays, "logits", "scores")
    values = pa.array(arrays["scores"].tolist(), type=kind)
    parquet.write_table(pa.table({"scores": values, **columns}), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def write_list_column(path: Path, arrays: Arrays) -> Path:
    return write_lists(path, arrays, pa.list_(pa.float32()))


def write_fixed_size_list_column(path: Path, arrays: Arrays) -> Path:
    return write_lists(path, arrays, pa.list_(pa.float32(), arrays["scores"].shape[1]))


WRITERS = [
    write_npz_logits,
    write_csv,
    write_csv_of_digits,
    write_parquet,
    write_list_column,
    write_fixed_size_list_column,
]
SHADOW = scores_of_a_model(0, ("original",))
TARGET = scores_of_a_model(1, ("zebra", "ant"))


def audit(folder: Path, write: Writer) -> AuditResult:
    shadow = read_scores(write(folder / "shadow", without(SHADOW, "set")), needs_sets=False)
    target = read_scores(write(folder / "target", TARGET), needs_sets=True)
    return run_audit(shadow, target, ["threshold", "entropy"], AttackSettings())


@pytest.mark.parametrize("write", WRITERS)
def test_every_form_gives_the_same_audit(write: Writer, tmp_path: Path) -> None:
    expected, found = audit(tmp_path, write_npz), audit(tmp_path, write)
    assert found.sizes == expected.sizes
    assert list(found.sets) == list(expected.sets) == ["zebra", "ant"]
    assert found.parameters == pytest.approx(expected.parameters, abs=1e-6)
    for name, attacks in expected.sets.items():
        for attack, metrics in attacks.items():
            assert found.sets[name][attack] == pytest.approx(metrics, abs=1e-6)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = read_scores(write_npz(tmp_path / "brought", TARGET), needs_sets=True)
    write_scores(tmp_path / "kept.npz", written)
    kept = read_scores(tmp_path / "kept.npz", needs_sets=True)
    assert np.array_equal(kept.scores, TARGET["scores"])
    assert np.array_equal(kept.labels, TARGET["labels"])
    assert np.array_equal(kept.member, TARGET["member"])
    assert np.array_equal(np.asarray(kept.set_names)[kept.set_codes], TARGET["set"])


def test_logits_become_their_softmax(tmp_path: Path) -> None:
    read = read_scores(write_npz_logits(tmp_path / "large", TARGET), needs_sets=True)
    assert read.scores == pytest.approx(TARGET["scores"], abs=1e-6)


def test_large_logits_do_not_overflow(tmp_path: Path) -> None:
    huge = TARGET | {"logits": TARGET["logits"] * np.float32(1e4)}
    read = read_scores(write_npz_logits(tmp_path / "huge", huge), needs_sets=True)
    assert read.scores.sum(axis=1) == pytest.approx(1, abs=1e-6)


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


def test_csv_whose_first_megabyte_has_whole_numbers_only_is_read(tmp_path: Path) -> None:
    rows = ["scores_0,scores_1,labels,member,set", *["0,1,1,true,members"] * 60_000]
    (tmp_path / "late.csv").write_text("\n".join([*rows, "0.25,0.75,1,false,other\n"]))
    read = read_scores(tmp_path / "late.csv", needs_sets=True)
    assert read.scores[-1].tolist() == [0.25, 0.75]
