"""`trustmia audit`: what it writes, and what it says of input it cannot use."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from tests.helpers import ROOT, run, set_params
from tests.signals.test_score_files import (
    SHADOW,
    TARGET,
    Arrays,
    changed,
    frame,
    in_float64,
    scores_of_a_model,
    without,
    write_csv,
    write_npz,
    write_npz_logits,
)
from trustmia import cli, paths
from trustmia.attacks import ATTACKS as KNOWN
from trustmia.errors import UserError
from trustmia.measures.metrics import public
from trustmia.measures.views import COLUMNS
from trustmia.settings import described
from trustmia.stages import attack as attack_stage

Capsys = pytest.CaptureFixture[str]
Refused = Callable[..., str]

ATTACKS = ("threshold", "entropy", "salem")
METRICS = set(map(public, COLUMNS.values())) | {"tpr", "accuracy", "advantage"}
ARTIFACTS = {"attack_results.csv", "metrics.json"} | {
    f"roc_{attack}.{suffix}" for attack in ATTACKS for suffix in ("csv", "png")
}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Return a folder with a usable `shadow.npz` and `target.npz`."""
    write_npz(tmp_path / "shadow", without(SHADOW, "set"))
    write_npz(tmp_path / "target", TARGET)
    return tmp_path


def command(folder: Path, target: str = "target.npz", *more: str) -> list[str]:
    files = ["--shadow", str(folder / "shadow.npz"), "--target", str(folder / target)]
    return ["audit", *files, "--out", str(folder / "out"), *more]


def audited(folder: Path, *more: str) -> dict[str, Any]:
    cli.main(command(folder, "target.npz", "--resamples", "0", *more))
    content: dict[str, Any] = json.loads((folder / "out/metrics.json").read_text())
    return content


def complaint(capsys: Capsys, folder: Path, arguments: list[str], name: str) -> str:
    """Run a command that has to fail; return the one line it says, without its prefix."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.out) == (2, "")
    assert printed.err.endswith("\n") and printed.err.count("\n") == 1
    assert name in printed.err and "Traceback" not in printed.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (folder / "out").is_dir()
    return printed.err.removeprefix("trustmia: ").strip()


@pytest.fixture
def refused(good: Path, capsys: Capsys) -> Refused:
    """Return what gives the one line that the command says of a target, by its file's name."""

    def said(target: str, *more: str, named: str | None = None) -> str:
        named = target if named is None else named
        return complaint(capsys, good, command(good, target, *more), named)

    return said


def test_command_writes_every_artifact_and_prints_the_table(good: Path, capsys: Capsys) -> None:
    cli.main(command(good))
    printed = capsys.readouterr()
    out = good / "out"
    assert {path.name for path in out.iterdir()} == ARTIFACTS
    assert {path.name for path in good.iterdir()} == {"shadow.npz", "target.npz", "out"}
    assert printed.err == ""
    for word in ("image set", "zebra", "ant", "Threshold FPR", "Entropy AUROC", "Salem Prec."):
        assert word in printed.out
    assert str(out) in printed.out

    content: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    assert {"threshold", "entropy_theta"} < set(content["parameters"])
    assert list(content["sets"]) == ["zebra", "ant"]
    for attacks in content["sets"].values():
        assert list(attacks) == list(ATTACKS)
        for metrics in attacks.values():
            intervals = metrics.pop("ci95")
            assert set(intervals) == {"precision", "recall", "fpr", "advantage", "auroc"}
            for name, (low, high) in intervals.items():
                assert 0 <= low <= metrics[name] <= high <= 1
            assert set(metrics) == METRICS
            assert all(0 <= value <= 1 for value in metrics.values())

    table = pd.read_csv(out / "attack_results.csv")
    titles = [f"{name.title()} Attack" for name in ATTACKS]
    columns = [f"{title} {column}" for title in titles for column in COLUMNS]
    assert list(table.columns) == ["Set", *columns]
    assert table["Set"].tolist() == ["zebra", "ant"]
    precision = [content["sets"][name]["threshold"]["precision"] for name in table["Set"]]
    assert table["Threshold Attack Precision"].tolist() == pytest.approx(precision, abs=1e-6)

    for attack in ATTACKS:
        points = pd.read_csv(out / f"roc_{attack}.csv")
        assert list(points.columns) == ["set", "fpr", "tpr"]
        for _, curve in points.groupby("set"):
            assert curve[["fpr", "tpr"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
        with Image.open(out / f"roc_{attack}.png") as picture:
            assert picture.size[0] > 500

    before = {path.name: path.read_bytes() for path in out.iterdir()}
    cli.main(command(good))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_only_the_chosen_attacks_run_and_other_files_stay(good: Path, capsys: Capsys) -> None:
    (good / "out").mkdir()
    (good / "out" / "notes.txt").write_text("mine")
    audited(good, "--attacks", "entropy")
    names = {"attack_results.csv", "metrics.json", "roc_entropy.csv", "roc_entropy.png"}
    assert {path.name for path in (good / "out").iterdir()} == names | {"notes.txt"}
    assert (good / "out" / "notes.txt").read_text() == "mine"


def by_problem(value: object) -> str:
    """Return the name of a case, which is what is said of it."""
    return value[:60] if isinstance(value, str) else ""


ONE_COLUMN = r"1 column\(s\); allowed: at least 2, .* `np\.c_\[1 - p, p\]`"
MALFORMED: list[tuple[Arrays, str]] = [
    (without(TARGET, "labels"), "array labels is missing"),
    (without(TARGET, "member"), "array member is missing"),
    (without(TARGET, "set"), "array set is missing"),
    (without(TARGET, "scores"), "has neither scores nor logits"),
    (TARGET | {"labels": TARGET["labels"][:-1]}, r"labels has shape \[119\]"),
    (TARGET | {"member": TARGET["member"][:-1]}, r"member has shape \[119\]"),
    (TARGET | {"set": TARGET["set"][:-1]}, r"set has shape \[119\]"),
    ({k: v[:0] for k, v in TARGET.items()}, "has no rows"),
    (
        TARGET | {"scores": TARGET["scores"][:, 0]},
        r"scores has 1 dimensions; allowed: 2, .* `np\.c_\[1 - p, p\]`",
    ),
    (TARGET | {"scores": TARGET["scores"].astype(str)}, "scores has type .*numbers"),
    (TARGET | {"scores": TARGET["scores"] * 1j}, "scores has type complex64"),
    (changed(TARGET, "scores", (3, 1), np.nan), "row 3 of scores has NaN, or infinity"),
    (changed(TARGET, "scores", (4, 1), np.inf), "row 4 of scores has NaN, or infinity"),
    (changed(TARGET, "scores", 5, 0.2), "row 5 of scores sums to 0.8; allowed: 0.95 to 1.05; give"),
    (changed(TARGET, "scores", 7, [-0.5, 1, 0.5, 0]), r"row 7 of scores leaves \[0, 1\]"),
    (changed(TARGET, "scores", 8, [2, 0, 0, 0]), r"row 8 of scores leaves \[0, 1\]"),
    (TARGET | {"scores": TARGET["scores"][:, :1]}, f"scores has {ONE_COLUMN}"),
    (TARGET | {"member": np.zeros(120, bool)}, "has no members"),
    (TARGET | {"member": np.ones(120, bool)}, "has only members"),
    (TARGET | {"member": TARGET["set"]}, "row 0 of member is .*true/false or 0/1"),
    (TARGET | {"member": TARGET["member"] * 2}, "of member is 2; allowed: true/false or 0/1"),
    (TARGET | {"member": TARGET["member"] * 0.5}, r"row \d+ of member is 0.5"),
    (changed(TARGET, "labels", 9, 4), "row 9 of labels is 4; allowed: 0 to 3, or -1"),
    (changed(TARGET, "labels", 9, -2), "row 9 of labels is -2; allowed: 0 to 3, or -1"),
    (
        changed(TARGET | {"labels": TARGET["labels"] * 1.0}, "labels", 9, np.inf),
        "row 9 of labels is inf; allowed: whole numbers",
    ),
    (TARGET | {"labels": TARGET["labels"] / 2}, "of labels is 0.5; allowed: whole numbers"),
    (TARGET | {"set": TARGET["set"].astype(object)}, "npz file: set holds Python objects; save it"),
    (changed(TARGET, "member", 4, False), "row 4 is of set members but its member is false"),
    (changed(TARGET, "set", 99, ""), "row 99 of set is empty"),
    (
        TARGET | {"set": np.char.encode(np.char.replace(TARGET["set"], "ant", "ä"), "latin-1")},
        "set holds bytes that are no ASCII",
    ),
    (scores_of_a_model(1, ("zebra",), classes=5), "5"),
]


@pytest.mark.parametrize(("arrays", "problem"), MALFORMED, ids=by_problem)
def test_malformed_npz_is_named(arrays: Arrays, problem: str, good: Path, refused: Refused) -> None:
    assert re.search(problem, refused(write_npz(good / "bad", arrays).name))


def emptied(column: str) -> pd.DataFrame:
    table = frame(TARGET).astype({column: object})
    table.loc[6, column] = None
    return table


TABLES: list[tuple[pd.DataFrame, str]] = [
    *((emptied(name), f"row 6 of {name} is empty") for name in ("scores_2", "labels", "member")),
    (frame(TARGET).replace({"set": {"ant": None}}), "row 80 of set is empty"),
    *(
        (frame(TARGET).drop(columns=name), f"column {name} is missing")
        for name in ("scores_1", "labels", "set")
    ),
    (frame(without(TARGET, "scores"), "logits").iloc[:, 4:], "has neither scores"),
    (frame(TARGET).assign(scores_0="high"), ": .*scores_0.*"),
    (frame(TARGET)[:0], "has no rows"),
    (frame(TARGET).assign(labels=0.5), "row 0 of labels is 0.5; allowed: whole numbers"),
    (
        frame(TARGET).assign(member=0.5),
        "row 0 of member is '?0.5'?; allowed: true/false or 0/1",
    ),
    (
        frame(TARGET).rename(columns={f"scores_{k}": f"scores_{k + 1}" for k in range(4)}),
        "columns are counted from 1, scores_1 to scores_4, or .*; allowed: from 0, .* to scores_3",
    ),
    (
        frame(TARGET)[["scores_0", "labels", "member", "set"]].assign(scores_0=1.0),
        f"scores has {ONE_COLUMN}",
    ),
    (
        frame(TARGET, "logits")[["logits_0", "labels", "member", "set"]],
        r"logits has 1 column.* `np\.c_\[0 \* z, z\]`",
    ),
    (frame(TARGET).assign(scores_0=0.9, scores_1=0.4), "row 0 of scores sums to"),
]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(("table", "problem"), TABLES, ids=by_problem)
def test_malformed_table_is_named(
    table: pd.DataFrame, problem: str, suffix: str, good: Path, refused: Refused
) -> None:
    path = good / f"bad.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    assert re.search(problem, refused(path.name))


@pytest.mark.parametrize("column", ["scores_0", "labels", "member", "set"])
def test_column_that_is_there_twice_is_named(column: str, good: Path, refused: Refused) -> None:
    table = frame(TARGET)
    pd.concat([table, table[[column]]], axis=1).to_csv(good / "bad.csv", index=False)
    assert re.search(f": .*{column}", refused("bad.csv"))


@pytest.mark.parametrize(
    ("rows", "row", "problem"),
    [
        ([8], [0.5, 0.5], "row 8 of scores has 2 values, row 0 has 4"),
        ([8], None, "row 8 of scores is empty"),
        ([8], [0.5, 0.5, None, 0.0], "row 8 of scores"),
        # A row group of its own.
        (range(60, 120), [0.5, 0.5], "row.* 60 .*2 values"),
    ],
)
def test_ragged_list_is_named(
    rows: Iterable[int],
    row: list[float | None] | None,
    problem: str,
    good: Path,
    refused: Refused,
) -> None:
    values = TARGET["scores"].tolist()
    for number in rows:
        values[number] = row
    table = pa.table({"scores": values, **without(TARGET, "scores", "logits")})
    parquet.write_table(table, good / "bad.parquet", row_group_size=60)
    assert re.search(problem, refused("bad.parquet"))


def stored(write: Callable[[BytesIO], object]) -> bytes:
    stream = BytesIO()
    write(stream)
    return stream.getvalue()


ARCHIVE = stored(partial(np.savez, **without(TARGET, "logits")))  # type: ignore[arg-type]
DAMAGED = bytearray(ARCHIVE)
DAMAGED[len(ARCHIVE) // 3] ^= 0xFF
PARQUET = stored(frame(TARGET).to_parquet)
NO_TABLE = b"\x00\xff\xfe not a table \x80\x81\n\x00"
NO_ARCHIVE = r"^(?!.*pickle).*not an archive of named arrays"
HEADER, ROW = "scores_0,scores_1,labels,member,set\n", "0.5,0.5,1,1,m\n"


@pytest.mark.parametrize(
    ("suffix", "content", "problem"),
    [
        ("npz", NO_TABLE, NO_ARCHIVE),
        ("npz", b"", NO_ARCHIVE),
        ("npz", b"hello", NO_ARCHIVE),
        ("npz", stored(lambda stream: np.save(stream, TARGET["scores"])), NO_ARCHIVE),
        ("npz", ARCHIVE[:-40], "not a readable npz file: "),
        ("npz", bytes(DAMAGED), "not a readable npz file: "),
        ("parquet", b"", "not a readable parquet file: "),
        ("parquet", NO_TABLE, "not a readable parquet file: "),
        ("parquet", PARQUET[:-40], "not a readable parquet file: "),
        ("xlsx", b"PK", "unknown format; allowed: .npz, .csv, .parquet"),
    ],
)
def test_file_of_another_form_is_named(
    suffix: str, content: bytes, problem: str, good: Path, refused: Refused
) -> None:
    (good / f"bad.{suffix}").write_bytes(content)
    assert re.search(problem, refused(f"bad.{suffix}"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", ""),
        (NO_TABLE, ""),
        (HEADER[:-1], "has no rows"),
        ("\n\n", "has no rows"),
        (f"{HEADER}0.5,0.5,NA,1,m\n", "row 0 of labels is 'NA'; allowed: whole numbers"),
        (f"{HEADER}{100_000 * ROW}0.5,0.5,NA,0,a\n", "row 100000 of labels is 'NA'; allowed: wh"),
        (f"{HEADER}{ROW}0.5,NA,1,1,m\n", "row 1 of scores_1 is 'NA'; allowed: numbers"),
        (f"{HEADER}0.5,0.5,1,NA,m\n", "row 0 of member is 'NA'; allowed: true/false or 0/1"),
        (f"{HEADER}0.5,0.5,1,no,m\n", "row 0 of member is 'no'; allowed: true/false or 0/1"),
        (f"{HEADER}0.5,0.5,1,1,\n", "row 0 of set is empty"),
        (f'{HEADER}0.5,0.5,1,1,""\n', "row 0 of set is empty"),
        (f"{HEADER}0.5,0.5,1,1,m,\n", "row 0 has 6 cells; allowed: 5, as the header"),
        (f"{HEADER}0,5,0,5,1,1,m\n", "row 0 has 7 cells; allowed: 5, .* decimal comma"),
        (f"{HEADER}{ROW}\n0.5,0.5\n", "row 1 has 2 cells; allowed: 5"),
        (f'{HEADER}"0,5",0.5,1,1,m\n', "row 0 of scores_1 is '0.5'; .* with decimal commas"),
        (HEADER.replace(",", " ") + "0.5 0.5 1 1 m\n", "by spaces; allowed: commas, as `pandas"),
        (2 * ROW, "first line names no column .*: '0.5,0.5,1,1,m'; .* a header"),
        (2 * "0,5;0,5;1;1;m\n", "first line names no column .*: '0,5;0,5;1;1;m'; .* a header"),
        (f"{HEADER}0.5,0.5,1,1,ä\n".encode("latin-1"), "row 0 of set is no text in UTF-8"),
        (f"{HEADER}{ROW}".encode("utf-16"), "no text in UTF-8, but perhaps in UTF-16"),
        ("scores_1,labels,member,set\n0.5,1,1,m\n", "column scores_0 is missing"),
        ('scores,labels,member,set\n"[0.1, 0.9]",1,1,m\n', r"row 0 of scores is '\[0.1, 0.9\]'"),
        (
            ",".join(f"p{k}" for k in range(1000)) + ",labels\n",
            r"has neither scores nor logits; .*; found: labels, p0, .*, and 989 more",
        ),
    ],
    ids=by_problem,
)
def test_odd_csv_is_named(text: str | bytes, problem: str, good: Path, refused: Refused) -> None:
    (good / "bad.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    assert re.search(problem, refused("bad.csv"))


@pytest.mark.parametrize("name", ["nowhere.npz", "nowhere.csv", "nowhere.parquet"])
def test_missing_file_is_named(name: str, good: Path, refused: Refused) -> None:
    assert re.search("no such file", refused(name))


def test_malformed_shadow_is_named(good: Path, refused: Refused) -> None:
    write_npz(good / "shadow", SHADOW | {"member": SHADOW["labels"] > -2})
    assert re.search("has only members", refused("target.npz", named="shadow.npz"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--attacks", "lyra"], "--attacks: 'lyra' is unknown; allowed: threshold, entropy, salem"),
        (["--attacks", "lira"], r"--attacks: none is possible: lira \(no signals of many models\)"),
        (["--attacks", ","], "--attacks: none is named"),
        (["--attacks", "salem,salem"], "--attacks: .*named twice"),
        (["-S", "salem.k=0"], r"-S salem\.k: got 0; allowed: 1 to 1000"),
        (["-S", "salem.k=5"], r"-S salem\.k: got 5; allowed: 1 to 4, the number of classes"),
        (["-S", "salem.k=two"], r"-S salem\.k: got 'two'; allowed: a whole number"),
        (["-S", "salem.lr=2", "-S", "salem.k=0"], r"-S salem\.k: .*; salem\.lr: got 2; allowed: "),
        (["-S", "rmia.a=1"], r"-S rmia\.a: rmia is not to run; allowed: settings of salem"),
        (["--seed", "-1"], "--seed: got -1; allowed: 0 to"),
        (["--target-index", "0"], "--target-index means nothing without --signals; allowed: with"),
    ],
)
def test_wrong_option_is_named(
    options: list[str], problem: str, good: Path, refused: Refused
) -> None:
    assert re.search(problem, refused("target.npz", *options, named=""))


def test_intervals_that_are_left_out_are_told(
    good: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trustmia.commands.audit.MOST_ROWS", 119)
    cli.main(command(good, "target.npz", "--attacks", "threshold"))
    said = capsys.readouterr().out
    assert "No intervals: the target has more than 119 images." in said and "[" not in said


def test_two_classes_are_audited_by_default_and_have_no_more_scores(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_npz(tmp_path / "shadow", scores_of_a_model(0, ("original",), classes=2))
    write_npz(tmp_path / "target", scores_of_a_model(1, ("zebra",), classes=2))
    refused = "salem.k: got 3; allowed: 1 to 2, the number of classes"
    arguments = command(tmp_path, "target.npz", "-S", "salem.k=3")
    assert complaint(capsys, tmp_path, arguments, "salem.k") == f"-S {refused}"
    content = audited(tmp_path)
    told = "Salem Attack: the 2 largest scores (salem.k), as there are 2 classes"
    assert told in capsys.readouterr().out
    assert content["parameters"]["salem_k"] == 2
    assert list(content["sets"]["zebra"]) == list(ATTACKS)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    set_params(tmp_path, {"attack.methods": ["salem"]})
    scores = tmp_path / paths.SCORES
    scores.mkdir(parents=True)
    for name in ("shadow.npz", "target.npz"):
        (tmp_path / name).rename(scores / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"params.yaml: attack.{refused}")):
        attack_stage.main()


def test_settings_are_given_as_in_params_yaml(good: Path, capsys: Capsys) -> None:
    few = ["-S", "salem.k=2", "--set-param", "salem.lr=1e-3", "-S", "salem.max_epochs=2"]
    content = audited(good, "--attacks", "salem", *few)
    assert content["parameters"] == {"salem_k": 2}
    other = audited(good, "--attacks", "salem", "-S", "salem.k=2", "-S", "salem.max_epochs=9")
    assert other["sets"] != content["sets"]


def test_attacks_that_a_door_does_not_allow_are_told_but_no_ties_without_any(
    good: Path, capsys: Capsys
) -> None:
    content = audited(good, "--attacks", "rmia,threshold,entropy")
    assert list(content["sets"]["ant"]) == ["threshold", "entropy"]
    said = capsys.readouterr().out
    assert "Left out: rmia (no signals of many models)." in said
    assert content["ties"]["ant"] == {"threshold": 1, "entropy": 1}
    assert "share their set's largest" not in said


def test_help_and_documentation_have_every_setting(capsys: Capsys) -> None:
    with pytest.raises(SystemExit):
        cli.main(["audit", "--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    page = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    settings = [
        (f"{name}.{key}", *words)
        for name, attack in KNOWN.items()
        for key, words in described(attack.settings).items()
    ]
    assert len(settings) == 7
    for key, what, allowed, default in settings:
        assert f"{key}: {what} ({allowed}; default: {default})" in help_text
        assert f"| `{key}` | {what} | {allowed} | {default} |\n" in page


def test_output_and_metrics_name_the_files_and_how_they_were_read(
    good: Path, capsys: Capsys
) -> None:
    rounded = frame(TARGET | {"scores": TARGET["scores"].round(2)})
    rounded.to_csv(good / "target.csv", sep=";", decimal=",", index=False)
    cli.main(command(good, "target.csv", "--attacks", "threshold", "--resamples", "0"))
    out = capsys.readouterr().out
    shadow, target = str(good / "shadow.npz"), str(good / "target.csv")
    assert f"Read: shadow {shadow}, target {target}\n" in out
    assert f"{target}: columns are separated by semicolons." in out
    assert f"{target}: numbers have decimal commas." in out
    assert re.search(r"target\.csv: \d+ of 120 rows of scores miss a sum of 1 by more", out)
    content = json.loads((good / "out" / "metrics.json").read_text())
    assert (content["shadow"], content["target"]) == (shadow, target)


def test_no_word_about_brackets_without_any(good: Path, capsys: Capsys) -> None:
    models = np.stack([TARGET["scores"][:, :2]] * 4)
    models /= models.sum(axis=2, keepdims=True)
    member = np.resize([True, False], (4, 120)) ^ (np.arange(4) < 2)[:, None]
    sets = np.where(np.arange(120) < 80, "members", "zebra")
    member[:, 80:] = False
    labels = TARGET["labels"] % 2
    np.savez(good / "signals.npz", scores=models, member=member, labels=labels, set=sets)
    signals = ["audit", "--signals", str(good / "signals.npz"), "--out", str(good / "signals")]
    for arguments in (
        command(good, "target.npz", "--attacks", "entropy"),
        [*signals, "--attacks", "loss"],
    ):
        cli.main([*arguments, "--resamples", "50"])
        assert "In brackets" in capsys.readouterr().out
        cli.main([*arguments, "--resamples", "0"])
        assert "In brackets" not in capsys.readouterr().out


def test_out_that_is_no_folder_is_named_and_kept(
    good: Path, refused: Refused, capsys: Capsys
) -> None:
    (good / "out").write_text("mine")
    assert re.search("--out: .* is a file", refused("target.npz", named=str(good / "out")))
    inside = str(good / "shadow.npz" / "out")
    arguments = command(good, "target.npz", "--attacks", "threshold", "--out", inside)
    assert complaint(capsys, good, arguments, "shadow.npz")


def test_process_ends_with_one_line_and_leaves_nothing(good: Path) -> None:
    write_csv(good / "bad", changed(TARGET, "scores", (3, 1), np.nan))
    result = run(ROOT, sys.executable, "-m", "trustmia.cli", *command(good, "bad.csv"), code=2)
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert "bad.csv" in result.stderr
    assert {p.name for p in good.iterdir()} == {"shadow.npz", "target.npz", "bad.csv"}


@pytest.mark.parametrize("largest", ["equal", "smaller"])
def test_an_audit_ends_where_no_threshold_tells_the_shadow_s_members(
    tmp_path: Path, largest: str
) -> None:
    member = np.arange(40) < 20
    top = np.where(member, 0.6, 0.9) if largest == "smaller" else np.ones(40)
    scores = np.stack([top, 1 - top], axis=1)
    arrays: Arrays = {"scores": scores, "labels": np.zeros(40, np.int64), "member": member}
    write_npz(tmp_path / "shadow", arrays)
    write_npz(tmp_path / "target", arrays | {"set": np.where(member, "members", "original")})
    content = audited(tmp_path)
    reached = content["sets"]["original"]["threshold"]
    assert content["parameters"]["threshold"] is None
    assert (reached["precision"], reached["recall"], reached["fpr"]) == (0, 0, 0)
    assert reached["auroc"] == (0.5 if largest == "equal" else 0)
    assert set(content["sets"]["original"]) == set(ATTACKS)


def test_a_shadow_that_tells_nothing_is_said(good: Path, capsys: Capsys) -> None:
    scores = np.tile(SHADOW["scores"][:1], (len(SHADOW["member"]), 1))
    write_npz(good / "shadow", without(SHADOW, "set") | {"scores": scores})
    content = audited(good, "--attacks", "salem")
    assert "all rows have the same scores; attacks can learn nothing" in capsys.readouterr().out
    assert content["sets"]["zebra"]["salem"]["auroc"] == 0.5


def saturated(digits: int | None = None) -> tuple[Arrays, Arrays]:
    """Return a shadow and a target most of whose scores are 1, or are rounded to 1."""
    gain = np.float32(30 if digits is None else 4)
    found = []
    for arrays in (SHADOW, TARGET):
        logits = arrays["logits"] * gain
        scores = softmax(logits.astype(np.float64), axis=1)
        scores = scores.astype(np.float32) if digits is None else scores.round(digits)
        found.append(arrays | {"logits": logits, "scores": scores})
    return found[0], found[1]


def test_ties_at_the_top_are_counted_and_logits_rank_them(tmp_path: Path, capsys: Capsys) -> None:
    shadow, target = saturated()
    write_npz(tmp_path / "shadow", shadow)
    write_npz(tmp_path / "target", target)
    alone = audited(tmp_path)
    maxima = target["scores"].max(axis=1)
    counts = {name: int((maxima[target["set"] == name] == 1).sum()) for name in ("zebra", "ant")}
    assert min(counts.values()) > 20
    said = capsys.readouterr().out
    assert {name: ties["threshold"] for name, ties in alone["ties"].items()} == counts
    assert f"zebra (of 40): threshold {counts['zebra']}, entropy " in said
    assert "logits can tell them apart" in said and "ranking" not in alone

    write_npz_logits(tmp_path / "target", target)
    known = audited(tmp_path)
    said = capsys.readouterr().out
    assert "ranked by logits (metrics.json: ranking, and the ROC curves)" in said
    assert "logits can tell them apart" not in said
    for ties in known["ties"].values():
        assert (ties["threshold"], ties["entropy"]) == (1, 1) and ties["salem"] > 1
    for name, attacks in alone["sets"].items():
        assert list(known["ranking"][name]) == list(ATTACKS)
        for attack, metrics in attacks.items():
            assert known["sets"][name][attack] == pytest.approx(metrics, abs=1e-6)
        exact = known["ranking"][name]["threshold"]
        assert exact["auroc"] != attacks["threshold"]["auroc"]
        curve = pd.read_csv(tmp_path / "out/roc_threshold.csv").query("set == @name")
        reached = curve[curve["fpr"] <= 0.05]["tpr"].max()
        assert exact["tpr_at_5pct_fpr"] == pytest.approx(reached, abs=1e-6)
        assert exact["realised_fpr"]["tpr_at_5pct_fpr"] == pytest.approx(
            curve[curve["fpr"] <= 0.05]["fpr"].max(), abs=1e-6
        )
        assert exact["realised_fpr"]["tpr_at_1pct_fpr"] is exact["tpr_at_1pct_fpr"] is None


def test_scores_in_float64_rank_and_it_is_said(good: Path, capsys: Capsys) -> None:
    target = in_float64(TARGET)
    write_npz(good / "target", target)
    content = audited(good, "--attacks", "threshold")
    said = capsys.readouterr().out
    assert "target.npz: ranked by scores in float64 (metrics.json: ranking, and the ROC" in said
    assert "share their set's largest" not in said
    odds = target["scores"].max(axis=1) / np.sort(target["scores"], axis=1)[:, :-1].sum(axis=1)
    rows = target["member"] | (target["set"] == "zebra")
    found = content["ranking"]["zebra"]["threshold"]["auroc"]
    assert found == pytest.approx(roc_auc_score(target["member"][rows], odds[rows]))
    assert found != content["sets"]["zebra"]["threshold"]["auroc"]


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_shadow_scores_call_members_and_it_is_said(
    digits: int, tmp_path: Path, capsys: Capsys
) -> None:
    shadow, target = saturated(digits)
    write_npz(tmp_path / "shadow", without(shadow, "logits"))
    write_npz(tmp_path / "target", without(target, "logits"))
    content = audited(tmp_path, "--attacks", "threshold")
    maxima = target["scores"].max(axis=1)
    assert content["parameters"]["threshold"] == np.nextafter(np.float32(1), np.float32(0))
    share = (maxima[target["member"]] == 1).mean()
    assert content["sets"]["ant"]["threshold"]["recall"] == pytest.approx(share)
    note = "the threshold 1 itself as their maximum score"
    assert note in capsys.readouterr().out and note in content["notes"][0]


def test_an_attack_that_calls_all_or_none_is_said(good: Path, capsys: Capsys) -> None:
    hard = {"scores": np.eye(4)[SHADOW["labels"]]}
    write_npz(good / "shadow", without(SHADOW, "set") | hard)
    content = audited(good)
    said = capsys.readouterr().out
    for title, share in (("Threshold", "none"), ("Entropy", "none"), ("Salem", "all")):
        note = f"{title} Attack: calls {share} of the shadow's images members"
        assert note in said and any(text.startswith(note) for text in content["notes"])
