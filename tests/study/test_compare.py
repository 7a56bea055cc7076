"""`trustmia compare` and what it computes."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.helpers import git
from tests.study.tiny_repository import TinyRepository, make_tiny_repository, write_lock
from trustmia.report.summary import _over_seeds
from trustmia.study import repository
from trustmia.study.seeds import over_seeds

SETS = ("original", "fake")

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRepository:
    """Return a repository with 48 experiments of a study and three others."""
    made = make_tiny_repository(tmp_path_factory.mktemp("compare"))
    for v in range(16):
        changed = {"train.weight_decay": v / 1000} if v else {}
        for seed in (1, 2, 3):
            name = f"decay_{v:02}" if v else "standard"
            add_experiment(made, f"{name}-s{seed}", {"seed": seed, **changed}, 0.8 + seed / 100)
    add_experiment(made, "alone", {"calibration.method": "llla"}, 0.7)
    add_experiment(made, "first-try", {"seed": 1}, 0.1)
    for name, seed in (("here", 5), ("there", 6)):
        add_experiment(made, name, {"seed": seed, "train.epochs": 7}, 0.6)
    return made


def add_experiment(
    tiny: TinyRepository, name: str, changes: dict[str, object], accuracy: float
) -> None:
    """Make what a finished experiment leaves in git, without running it."""
    fitted = {"accuracy": accuracy, "nll": 1, "ece": 0.1, "overconfidence_error": 0, "mmps": 1}
    reached = {"precision": 0.5, "recall": 0.9, "paper_auroc": accuracy - 0.1, "fpr": 0.75}
    rows = [
        f"threshold,{name},{key},{value},,,20" for name in SETS for key, value in reached.items()
    ]
    params = yaml.safe_load((tiny.root / "params.yaml").read_text())
    for key, value in changes.items():
        section, _, last = key.rpartition(".")
        (params[section] if section else params)[last] = value
    contents: dict[str, Any] = {
        "params.yaml": params,
        "metrics/train_target.json": {"train": {"accuracy": 1}, "test": {"accuracy": accuracy}},
        "metrics/calibration_target.json": {"after": fitted},
    }
    written = {path: json.dumps(content) for path, content in contents.items()}
    written["metrics/results.csv"] = "\n".join(["attack,set,metric,value,low,high,n", *rows])
    for path, text in written.items():
        (tiny.root / path).parent.mkdir(exist_ok=True)
        (tiny.root / path).write_text(text)
    write_lock(tiny.root)
    git(tiny.root, "add", *written, "dvc.lock")
    tree = git(tiny.root, "write-tree").strip()
    head = git(tiny.root, "rev-parse", "HEAD").strip()
    commit = git(tiny.root, "commit-tree", tree, "-p", head, "-m", name).strip()
    git(tiny.root, "update-ref", reference(tiny, name), commit)
    git(tiny.root, "reset", "--quiet", "--hard")


def reference(tiny: TinyRepository, name: str) -> str:
    head = git(tiny.root, "rev-parse", "HEAD").strip()
    return f"refs/exps/{head[:2]}/{head[2:]}/{name}"


def rows(printed: str, title: str) -> dict[str, list[str]]:
    """Return a table's cells by the first one of their row."""
    (table,) = [part for part in printed.split("\n\n") if part.startswith(f"{title} ")]
    return {line.split()[0]: line.split()[1:] for line in table.splitlines()[2:]}


def half_width(values: list[float]) -> float:
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return float(high - low) / 2


def test_seeds_are_taken_together(tiny: TinyRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(tiny.names()) == 52
    git_runs = Mock(side_effect=repository._git)
    monkeypatch.setattr(repository, "_git", git_runs)
    printed = tiny.trustmia("compare").stdout
    assert git_runs.call_count < 60, "of every revision and its commit the list of files, no more"
    lines = printed.splitlines()
    expected = f"0.820 ± {half_width([0.81, 0.82, 0.83]):.3f}"
    (row,) = [line for line in lines if line.startswith("standard ") and expected in line]
    assert row.split()[1] == "3"
    (single,) = [line for line in lines if line.startswith("alone") and "0.700" in line]
    assert "±" not in single
    assert any(line.startswith("train.epochs=7 ") for line in lines), "no common name"
    assert lines[-1] == "Left out, as they repeat parameters and seed of others: first-try."


def test_sorted_and_chosen(tiny: TinyRepository, tmp_path: Path) -> None:
    table = tmp_path / "out" / "table.csv"
    text = tmp_path / "table.md"
    options = ["--experiments", "alone,standard,decay_07-s1", "--sort", "threshold.auroc"]
    options += ["--csv", str(table), "--markdown", str(text)]
    printed = tiny.trustmia("compare", *options).stdout
    names = ["alone", "decay_07-s1", "standard"]
    rows = [line.split()[0] for line in printed.splitlines() if line.startswith(tuple(names))]
    assert rows == names * 2, "one table of the models, one of the attack"
    assert all(
        told.count("Rates are fractions; ±: 95%") == 1 for told in (printed, text.read_text())
    )
    assert "| experiment" in text.read_text() and "| standard" in text.read_text()
    written = pd.read_csv(table, keep_default_na=False, na_values=[""])
    chosen = written[(written["attack"] == "threshold") & (written["metric"] == "auroc")]
    standard = chosen[(chosen["experiment"] == "standard") & (chosen["set"] == "fake")].iloc[0]
    assert standard["seeds"] == 3 and standard["mean"] == pytest.approx(0.72)
    assert standard["high"] - standard["mean"] == pytest.approx(
        half_width([0.71, 0.72, 0.73]), abs=2e-6
    )
    assert chosen[chosen["experiment"] == "alone"]["low"].isna().all()
    turned = tiny.trustmia("compare", *options[:4], "--descending").stdout
    falling = [line.split()[0] for line in turned.splitlines() if line.startswith(tuple(names))]
    assert falling == names[::-1] * 2


def test_what_could_not_be_measured_comes_last(tiny: TinyRepository) -> None:
    add_experiment(tiny, "a-first-name", {"train.epochs": 9}, np.nan)
    options = ["--experiments", "standard,a-first-name,alone", "--sort", "accuracy"]
    try:
        rising = tiny.trustmia("compare", *options).stdout
        falling = tiny.trustmia("compare", *options, "--descending").stdout
    finally:
        git(tiny.root, "update-ref", "-d", reference(tiny, "a-first-name"))
    assert list(rows(rising, "experiment")) == ["alone", "standard", "a-first-name"]
    assert list(rows(falling, "experiment")) == ["standard", "alone", "a-first-name"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--experiments", "standart"], ["'standart'", "standard", "alone"]),
        (["--experiments", ""], ["--experiments"]),
        (["--sort", "f1"], ["'f1'", "ece", "threshold.precision"]),
        (["--csv", "/proc/no/table.csv"], ["not writable"]),
    ],
)
def test_mistakes_are_told_in_one_line(
    tiny: TinyRepository, options: list[str], words: list[str]
) -> None:
    failed = tiny.trustmia("compare", *options, code=2)
    assert failed.stderr.count("\n") == 1
    assert all(word in failed.stderr for word in words), failed.stderr


def test_experiments_of_other_commits(tiny: TinyRepository) -> None:
    git(tiny.root, "commit", "--quiet", "--allow-empty", "--message", "Another commit")
    try:
        none = tiny.trustmia("compare", code=2)
        assert "run `make study`" in none.stderr and "--all" in none.stderr
        for seed in (1, 2):
            add_experiment(tiny, f"standard-s{seed}", {"seed": seed}, 0.9)
        head = git(tiny.root, "rev-parse", "--short=7", "HEAD").strip()
        both = tiny.trustmia("compare", "--all", "--experiments", "standard").stdout
    finally:
        git(tiny.root, "reset", "--quiet", "--hard", "HEAD~1")
    before = git(tiny.root, "rev-parse", "--short=7", "HEAD").strip()
    first = [line.split()[:2] for line in both.splitlines()]
    assert [f"standard@{head}", "2"] in first and [f"standard@{before}", "3"] in first


def test_outside_of_a_repository(tmp_path: Path) -> None:
    place = TinyRepository(tmp_path)
    assert "not the root of a DVC repository" in place.trustmia("compare", code=2).stderr
    (tmp_path / ".dvc").mkdir()
    assert "experiments need a git repository" in place.trustmia("compare", code=2).stderr
    git(tmp_path, "init", "--quiet")
    failed = place.trustmia("compare", code=2)
    assert "git commit" in failed.stderr and failed.stderr.count("\n") == 1


def together(values: list[float]) -> pd.Series:
    """Return mean and half of the interval of seeds' values."""
    return over_seeds(pd.DataFrame({"metric": "ece", "value": values}), ["metric"]).iloc[0]


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9))
def test_intervals_are_students(values: list[float]) -> None:
    found = together(values)
    assert found["value"] == pytest.approx(np.mean(values), abs=1e-12)
    spread = np.std(values, ddof=1) / np.sqrt(len(values))
    assert found["half"] == pytest.approx(spread * stats.t.ppf(0.975, len(values) - 1), abs=1e-9)


def test_one_value_has_no_interval() -> None:
    assert together([0.5])["value"] == 0.5 and np.isnan(together([0.5])["half"])


def test_seeds_one_of_which_has_no_value_have_no_mean_as_in_the_report() -> None:
    for values in ([0.05, np.nan, 0.07], [0.5, np.nan], [np.nan], [np.nan, np.nan]):
        assert together(values)[["value", "half"]].isna().all()
        table = pd.DataFrame({"metric": "ece", "value": values, "low": np.nan, "high": np.nan})
        assert _over_seeds(table, ["metric"])[["value", "low", "high"]].isna().all(axis=None)
    for values in ([0.5, 0.52, 0.53], [0.4, 0.41], [0.5]):
        table = pd.DataFrame({"metric": "ece", "value": values, "low": np.nan, "high": np.nan})
        (found,) = _over_seeds(table, ["metric"]).itertuples()
        mean, half = together(values)[["value", "half"]]
        assert (found.value, found.high - found.value) == pytest.approx((mean, half), nan_ok=True)


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> TinyRepository:
    """Return a repository whose experiments ran all stages, or some, by DVC itself."""
    made = make_tiny_repository(tmp_path_factory.mktemp("partly"))
    made.run("dvc", "repro", "attack")
    git(made.root, "add", "--all")
    git(made.root, "commit", "--quiet", "--message", "A run")

    def experiment(name: str, decay: float, *targets: str) -> None:
        made.run("dvc", "exp", "run", "-n", name, "-S", f"train.weight_decay={decay}", *targets)
        git(made.root, "reset", "--quiet", "--hard")

    experiment("partial", 0.1, "train")
    experiment("partial-too", 0.3, "--temp", "train")
    experiment("whole", 0.1, "attack")
    attack = made.root / "attack.py"
    attack.write_text(attack.read_text().replace('"recall": 0.9', '"recall": 0.5'))
    experiment("other-code", 0.1, "attack")
    attack.write_text(attack.read_text().replace('"recall": 0.9', '"recall": 0.4'))
    experiment("unused-code", 0.1, "train")
    return made


def test_what_an_experiment_did_not_run_is_not_shown(partly: TinyRepository) -> None:
    chosen = partly.trustmia("compare", "--experiments", "partial-too,unused-code").stdout
    assert "seeds    accuracy before calibration    accuracy    ECE" in chosen.splitlines()[0]
    found = rows(chosen, "experiment")
    assert found == {
        "partial-too": ["1", "0.520", "–", "–", "–", "–"],
        "unused-code": ["1", "0.720", "–", "–", "–", "–"],
    }
    assert "threshold" not in chosen, "what the committed run reached is nothing of theirs"
    assert chosen.splitlines()[-1] == (
        "Not shown (–), as these stages were not run with the experiment's own parameters, code "
        "and data: partial-too, unused-code (attack)."
    )


def test_what_was_run_is_shown_beside_it(partly: TinyRepository, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    options = ["--sort", "ece", "--csv", str(table)]
    printed = partly.trustmia("compare", *options).stdout
    models = rows(printed, "experiment")
    attack = rows(printed, "threshold")
    assert models["whole"] == ["1", "0.720", "0.720", "0.100", "0.090", "0.970"]
    assert attack["whole"][2] == "0.900" and attack["other-code"][2] == "0.500"
    assert attack["partial-too"] == ["1", *"–––––"]
    assert list(models)[-2:] == ["partial-too", "unused-code"]
    last = partly.trustmia("compare", *options, "--descending").stdout
    assert list(rows(last, "experiment"))[-2:] == ["partial-too", "unused-code"]
    written = pd.read_csv(table, keep_default_na=False)
    metrics = written.groupby("experiment")["metric"].agg(list)
    assert metrics["partial-too"] == ["train_accuracy", "test_accuracy"]
    assert len(metrics["whole"]) == 15
    assert printed.splitlines()[-1].endswith("seed of others: partial."), "it is whole, less"


def test_an_applied_experiment_changes_nothing_of_the_comparison(partly: TinyRepository) -> None:
    before = partly.trustmia("compare").stdout
    partly.run("dvc", "exp", "apply", "partial-too")
    after = partly.trustmia("compare").stdout
    git(partly.root, "reset", "--quiet", "--hard")
    assert after == before


def test_attacks_of_before_there_was_one_table_are_told(tmp_path: Path) -> None:
    tiny = make_tiny_repository(tmp_path)
    for name in ("attack.py", "dvc.yaml"):
        text = (tiny.root / name).read_text()
        (tiny.root / name).write_text(text.replace("results.csv", "attack_results.json"))
    git(tiny.root, "commit", "--quiet", "--all", "--message", "As before")
    tiny.run("dvc", "exp", "run", "--name", "older", "attack")
    printed = tiny.trustmia("compare").stdout
    assert rows(printed, "experiment").keys() == {"older"} and "threshold" not in printed
    assert printed.splitlines()[-1].startswith("Without their attacks: older. They were run before")
