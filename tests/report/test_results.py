"""What is made of an audit's result: summaries, colours, the README's answer."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tests.attacks.attacking import LEARNED, attack
from tests.helpers import ROOT
from trustmia import files, paths
from trustmia.arrays import Float32
from trustmia.attacks.outcome import AttackRun, AttackScores
from trustmia.errors import UserError
from trustmia.image_sets import HELD_OUT, IMAGE_SETS, MEMBERS, SPARE_COLOURS, colours
from trustmia.measures.metrics import DECISIONS, RANKINGS, Metric, public
from trustmia.measures.table import COLUMNS, measure, read_results
from trustmia.measures.views import (
    decision_tables,
    dvc_summary,
    nested,
    paper_table,
    ranking_entries,
    ranking_table,
    rankings,
    rates_table,
)
from trustmia.report import readme
from trustmia.report.frames import frames
from trustmia.report.page import render
from trustmia.report.provenance import Provenance
from trustmia.report.summary import of_one_run, summarise
from trustmia.signals.container import Signals
from trustmia.signals.decisions import read_decisions
from trustmia.signals.scores import ScoreSet
from trustmia.stages import attack as attack_stage
from trustmia.study.tables import run_tables

SETS = ("members", "original", "fake")


def score_set(seed: int) -> ScoreSet:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(3, dtype=np.int32), (40, 30, 20))
    sharpness = np.array([6.0, 3.0, 2.0])[codes, None]
    logits = rng.normal(size=(90, 4)) * sharpness
    scores: Float32 = np.exp(logits).astype(np.float32)
    scores /= scores.sum(axis=1, keepdims=True)
    return ScoreSet(scores, np.zeros(90, dtype=np.int64), codes == 0, SETS, codes)


@pytest.fixture(scope="module")
def said() -> AttackRun:
    return attack(Signals(score_set(1), score_set(0)), list(LEARNED), {"salem": {"max_epochs": 3}})


@pytest.fixture(scope="module")
def results(said: AttackRun) -> pd.DataFrame:
    return measure(said, 0, 42)


def ranked(**groups: npt.NDArray[np.float64]) -> AttackScores:
    """Return what a form without a decision says."""
    scores = np.concatenate(list(groups.values()))
    ends = np.cumsum([len(values) for values in groups.values()])[:-1]
    rows = dict(zip(groups, np.split(np.arange(len(scores)), ends)))
    return AttackScores("A form", rows, scores, scores, True, None, {})


def test_an_attack_without_a_threshold_for_the_fpr_shows_no_rates() -> None:
    graded = np.linspace(1, 0, 40)
    forms = {
        name: ranked(members=scores[:20], original=scores[20:], fake=scores[:10])
        for name, scores in (("saturated", np.ones(40)), ("graded", graded))
    }
    table = rates_table(measure(AttackRun(forms, {}, (), None), 0, 0), "plain")
    lines = {line.split()[0]: line.split()[1:] for line in table.split("\n")[3:5]}
    assert lines == {"saturated": ["–", "–", "–"], "graded": ["1.000", "0.050", "1.000"]}


def test_a_run_without_decisions_of_its_own_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    graded = np.linspace(1, 0, 40)
    run = AttackRun({"loss": ranked(members=graded[:20], original=graded[20:])}, {}, (), None)
    attack_stage.write(run, measure(run, 0, 0), score_set(1))
    assert len(read_decisions(paths.DECISIONS, 90)) == 0
    assert dvc_summary(read_results())["loss"]["fpr"] == {"original": 0.05}
    none = "makes decisions of its own"
    assert none in readme.result_table("simple") and none in readme.answer("github")


def test_the_table_is_read_as_written_in_full_precision(said: AttackRun, tmp_path: Path) -> None:
    form = dataclasses.replace(said.forms["threshold"], learned={"threshold": None})
    odd = ranked(members=np.array([0.3, np.nan]), original=np.array([0.1, 0.2]))
    run = AttackRun({**said.forms, "threshold": form, "None": odd}, {}, (), None)
    table = measure(run, 40, 3)
    files.write_table(tmp_path / "results.csv", table)
    pd.testing.assert_frame_equal(read_results(tmp_path / "results.csv"), table, check_exact=True)
    assert list(table) == list(COLUMNS)
    assert not table.duplicated(["attack", "set", "metric"]).any()
    at = table.set_index(["attack", "set", "metric"])
    assert at.loc[("None", MEMBERS, "unscored"), ["value", "n"]].tolist() == [1, 2]
    assert np.isnan(at.loc[("threshold", "", "threshold"), "value"])
    sizes = {"recall": 40, "fpr": 20, "precision": 60}
    assert {m: at.loc[("salem", "fake", m), "n"] for m in sizes} == sizes


def test_each_set_is_ranked_by_itself_where_it_is_asked_for(said: AttackRun) -> None:
    sets = [name for name in SETS if name != MEMBERS]
    found = rankings(measure(said, 20, 7, against=sets))
    assert list(found) == sets
    for name in sets:
        alone = measure(said, 0, 7, against=[name])
        assert rankings(alone)[name] == found[name]
        for attack_name, form in said.forms.items():
            member = np.repeat([True, False], [len(form.groups[g]) for g in (MEMBERS, name)])
            scores = form.ranking[np.concatenate([form.groups[MEMBERS], form.groups[name]])]
            by_hand = pytest.approx(roc_auc_score(member, scores))
            assert found[name][attack_name]["auroc"] == by_hand
    with_intervals = ranking_entries(measure(said, 20, 7))["salem"]
    assert with_intervals["ci95"]["auroc"] is not None
    assert with_intervals["auroc"] == found[HELD_OUT]["salem"]["auroc"]


def test_every_metric_says_what_it_is() -> None:
    for metrics in (DECISIONS, RANKINGS):
        for key, metric in metrics.items():
            assert metric.title and metric.definition.endswith("."), key
            assert metric.counts in ("members", "set", "both"), key
    described = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    assert all(f"`{public(key)}`" in described for key in DECISIONS)


def test_a_new_metric_is_one_row(
    said: AttackRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    metric = partial(Metric[Any], shown=True)
    missed = metric("miss rate", "1 − recall.", lambda d: 1 - d.true_positives / d.members)
    monkeypatch.setitem(DECISIONS, "miss_rate", missed)
    gini = metric("Gini", "2 AUROC − 1.", lambda r: 2 * RANKINGS["auroc"].value(r) - 1)
    monkeypatch.setitem(RANKINGS, "gini", gini)
    table = measure(said, 20, 0)
    at = table.set_index(["attack", "set", "metric"])
    row, recall = at.loc[("salem", "fake", "miss_rate")], at.loc[("salem", "fake", "recall")]
    assert row["value"] == 1 - recall["value"] and row["n"] == 60
    assert row["low"] == pytest.approx(1 - recall["high"])
    of_sets = nested(table)["sets"]["fake"]["salem"]
    assert of_sets["miss_rate"] == row["value"] and "miss_rate" in of_sets["ci95"]
    entry = ranking_entries(table)["salem"]
    assert entry["gini"] == pytest.approx(2 * entry["auroc"] - 1) and entry["ci95"]["gini"]
    assert "Salem miss rate" in decision_tables(table, "simple")
    assert "Gini" in ranking_table(table, "simple")
    files.write_table(tmp_path / "metrics/results.csv", table)
    run = run_tables(lambda path: (tmp_path / path).read_bytes())
    summary = summarise(of_one_run(run, 42))
    page = render(summary, frames(summary), Provenance({}, pd.DataFrame()))
    for title, value in (("Miss rate", row["value"]), ("Gini", entry["gini"])):
        assert f">{title}</button>" in page and f">{value:.3f} " in page


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (",".join(COLUMNS), "holds no metrics; run `git restore"),
        ("", "not readable"),
        ("attack,set\nsalem,fake", "not readable .has no column metric.; run `git restore"),
        (f"{','.join(COLUMNS)}\na,b,c,many,,,", "not readable .*many"),
        (None, "not found; run `dvc repro`"),
    ],
)
def test_metrics_that_are_none_are_named(
    content: str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("metrics").mkdir()
        Path("metrics/results.csv").write_text(content)
    with pytest.raises(UserError, match=rf"^metrics/results\.csv: {problem}"):
        readme.result_table("simple")


def test_a_file_that_is_no_text_is_not_updated(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"README\.md is no text in UTF-8"):
        readme.update(tmp_path / "README.md")


def test_ranking_and_summary_are_of_the_logits_and_tables_of_the_scores() -> None:
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(2, dtype=np.int32), 50)
    logits = np.zeros((100, 3), dtype=np.float32)
    logits[:, 0] = np.where(codes == 0, 60, 40) + rng.normal(0, 15, 100)
    labels, sets = np.zeros(100, dtype=np.int64), ("members", "original")
    scores = torch.from_numpy(logits).softmax(1).numpy()
    known = ScoreSet(scores, labels, codes == 0, sets, codes, logits=logits)
    found = measure(attack(Signals(known, known), ["threshold"]), 0, 1)
    wins = (logits[:50, 0] - logits[50:, :1]) > 0
    assert ranking_entries(found)["threshold"]["auroc"] == pytest.approx(wins.mean())
    assert dvc_summary(found)["threshold"]["auroc"] == pytest.approx(wins.mean())
    tied = dataclasses.replace(known, logits=None)
    of_scores = nested(measure(attack(Signals(tied, tied), ["threshold"]), 0, 1))["sets"]
    assert nested(found)["sets"] == of_scores
    assert of_scores["original"]["threshold"]["auroc"] < wins.mean() - 0.1


def test_summary_has_the_quality_on_the_first_set_and_the_fpr_on_all(results: pd.DataFrame) -> None:
    ranking, sets = ranking_entries(results), nested(results)["sets"]
    summary = dvc_summary(results)
    assert list(summary) == list(LEARNED)
    for name, found in summary.items():
        for metric in ("auroc", "precision", "recall"):
            assert found[metric] == pytest.approx(sets["original"][name][metric])
        assert ranking[name]["auroc"] == found["auroc"]
        assert found["tpr_at_1pct_fpr"] == ranking[name]["tpr_at_1pct_fpr"]
        assert found["realised_fpr"] == ranking[name]["realised_fpr"]["tpr_at_1pct_fpr"]
        assert found["fpr"] == {key: sets[key][name]["fpr"] for key in SETS[1:]}


def test_the_paper_s_table_has_its_columns(results: pd.DataFrame) -> None:
    table = paper_table(results)
    assert table["Set"].tolist() == ["original", "fake"]
    sets = nested(results)["sets"]
    column = table.set_index("Set")["Salem Attack FPR@95%TPR"]
    assert column["fake"] == sets["fake"]["salem"]["fpr_at_95tpr"]
    assert nested(results)["sizes"] == {"members": 40, "original": 30, "fake": 20}
    json.dumps(nested(results), allow_nan=False)


def test_known_sets_keep_their_colour_and_others_get_one() -> None:
    palette = colours(["fake", "holiday", "original", "pets"])
    own = {name: known.colour for name, known in IMAGE_SETS.items() if known.colour}
    assert palette["fake"] == own["fake"] and palette["original"] == own["original"]
    assert {palette["holiday"], palette["pets"]} <= set(SPARE_COLOURS)
    assert palette["holiday"] != palette["pets"]
    assert len({*own.values(), *colours(["members"]).values()}) == len(own) + 1


@pytest.mark.parametrize(
    ("fake_fpr", "verdict"), [(0.75, "No."), (0.5, "No."), (0.1, "Within limits.")]
)
def test_answer_says_what_the_report_says_of_the_run(
    fake_fpr: float,
    verdict: str,
    results: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    table = results.set_index(["set", "metric"]).sort_index()
    table.loc[("fake", "fpr"), "value"] = fake_fpr
    for metric, value in {"fpr": 0.6, "recall": 0.9, "advantage": 0.3}.items():
        table.loc[("original", metric), "value"] = value
    table.loc[("original", "advantage"), ["low", "high"]] = [0.282, 0.317]
    files.write_table(Path("metrics/results.csv"), table.reset_index()[list(COLUMNS)])
    answer = readme.answer("github")
    assert answer.startswith(f"**{verdict}**")
    assert f"Threshold {fake_fpr:.0%}" in answer
    assert (
        "the difference in percentage points, at the thresholds that these attacks learned: "
        "Threshold 30.0 (28.2 to 31.7), Entropy 30.0 (28.2 to 31.7), Salem 30.0 (28.2 to 31.7)."
    ) in answer
    assert "In brackets: 95% bootstrap interval" in answer


def test_advantage_is_recall_minus_fpr_with_the_interval_of_their_difference() -> None:
    found = nested(measure(attack(Signals(score_set(1), score_set(0)), ["threshold"]), 2000, 42))
    reached = found["sets"]["original"]["threshold"]
    assert reached["advantage"] == reached["recall"] - reached["fpr"]
    low, high = reached["ci95"]["advantage"]
    # Members and held-out images are drawn apart, so that their variances add.
    variance = sum(
        rate * (1 - rate) / found["sizes"][name]
        for rate, name in ((reached["recall"], "members"), (reached["fpr"], "original"))
    )
    assert high - low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.1)
    assert low < reached["advantage"] < high
