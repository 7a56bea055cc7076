"""What is made of an audit's result: summaries, histograms, colours, the README's answer."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from trustmia.attacks.run_on_scores import AuditResult, run_audit

from trustmia.arrays import Float32
from trustmia.attacks import ATTACKS, AttackSettings
from trustmia.errors import UserError
from trustmia.image_sets import IMAGE_SETS, SPARE_COLOURS, colours
from trustmia.measures.ranking import judge
from trustmia.measures.ranking_results import as_entry, rankings, rates_table
from trustmia.measures.results import as_metrics, as_summary
from trustmia.report import readme
from trustmia.signals.scores import ScoreSet
from trustmia.stages.attack import HISTOGRAM_BINS, histograms

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
def result() -> AuditResult:
    return run_audit(score_set(0), score_set(1), list(ATTACKS), AttackSettings(salem_max_epochs=3))


def test_an_attack_without_a_threshold_for_the_fpr_shows_no_rates() -> None:
    member = np.arange(40) < 20
    saturated = np.ones(40)
    graded = np.linspace(1, 0, 40)
    attacks = {
        name: as_entry(name, judge(scores, member, {"fake": scores[:10]}, 0, 0))
        for name, scores in (("saturated", saturated), ("graded", graded))
    }
    lines = {
        line.split()[0]: line.split()[1:] for line in rates_table(attacks, "plain").split("\n")[3:5]
    }
    assert lines == {"saturated": ["–", "–", "–"], "graded": ["1.000", "0.050", "1.000"]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "holds no metrics; run `git restore"),
        ("[1]", "holds no metrics; run `git restore"),
        ("{", "not readable"),
        (None, "not found; run `dvc repro`"),
    ],
)
def test_metrics_that_are_none_are_named(
    content: str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("metrics").mkdir()
        Path("metrics/attack_results.json").write_text(content)
    with pytest.raises(UserError, match=rf"^metrics/attack_results\.json: {problem}"):
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
    found = run_audit(known, known, ["threshold"], AttackSettings())
    entries = rankings(found, known, None, 0, 1)
    wins = (logits[:50, 0] - logits[50:, :1]) > 0
    assert entries["threshold"]["auroc"] == pytest.approx(wins.mean())
    assert as_summary(found, entries)["threshold"]["auroc"] == entries["threshold"]["auroc"]
    tied = dataclasses.replace(known, logits=None)
    assert found.sets == run_audit(tied, tied, ["threshold"], AttackSettings()).sets
    assert found.sets["original"]["threshold"]["auroc"] < wins.mean() - 0.1


def test_summary_has_the_quality_on_the_first_set_and_the_fpr_on_all(result: AuditResult) -> None:
    ranking = rankings(result, score_set(1), None, 0, 0)
    summary = as_summary(result, ranking)
    assert list(summary) == list(ATTACKS)
    for attack, found in summary.items():
        for name in ("auroc", "precision", "recall"):
            assert found[name] == result.sets["original"][attack][name]
        assert ranking[attack]["auroc"] == pytest.approx(found["auroc"])
        assert found["tpr_at_1pct_fpr"] == ranking[attack]["tpr_at_1pct_fpr"]
        assert found["realised_fpr"] == ranking[attack]["realised_fpr"]["tpr_at_1pct_fpr"]
        assert found["fpr"] == {name: result.sets[name][attack]["fpr"] for name in SETS[1:]}


def test_histograms_are_those_of_a_loop_over_images() -> None:
    target = score_set(2)
    table = histograms(target)
    width = (1 - 1 / 4) / HISTOGRAM_BINS
    for (set_name, group), rows in table.groupby(["set", "group"]):
        counts = [0] * HISTOGRAM_BINS
        chosen = "members" if group == "members" else set_name
        for scores, code in zip(target.scores, target.set_codes):
            if SETS[code] == chosen:
                counts[min(int((scores.max() - 1 / 4) / width), HISTOGRAM_BINS - 1)] += 1
        assert np.allclose(rows["share"], np.array(counts) / sum(counts))
        middles = 1 / 4 + (np.arange(HISTOGRAM_BINS) + 0.5) * width
        assert np.allclose(rows["maximum score"], middles)
    assert set(table["set"]) == set(SETS[1:])


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
    result: AuditResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = json.loads(json.dumps(as_metrics(result)))
    for attack in ATTACKS:
        metrics["sets"]["fake"][attack]["fpr"] = fake_fpr
        metrics["sets"]["original"][attack] |= {"fpr": 0.6, "recall": 0.9, "advantage": 0.3}
        metrics["sets"]["original"][attack]["ci95"] = {"advantage": [0.282, 0.317]}
    Path("metrics").mkdir()
    Path("metrics/attack_results.json").write_text(json.dumps(metrics), encoding="utf-8")
    ranking = rankings(result, score_set(1), None, 0, 0)
    Path("metrics/ranking.json").write_text(json.dumps(ranking), encoding="utf-8")
    answer = readme.answer("github")
    assert answer.startswith(f"**{verdict}**")
    assert f"Threshold {fake_fpr:.0%}" in answer
    assert (
        "the difference in percentage points, at the thresholds that these attacks learned: "
        "Threshold 30.0 (28.2 to 31.7), Entropy 30.0 (28.2 to 31.7), Salem 30.0 (28.2 to 31.7)."
    ) in answer
    assert "In brackets: 95% bootstrap interval" in answer


def test_advantage_is_recall_minus_fpr_with_the_interval_of_their_difference() -> None:
    shadow, target = score_set(0), score_set(1)
    found = run_audit(shadow, target, ["threshold"], AttackSettings(), resamples=2000)
    reached = found.sets["original"]["threshold"]
    assert reached["advantage"] == reached["recall"] - reached["fpr"]
    low, high = found.intervals["original"]["threshold"]["advantage"]
    # Members and held-out images are drawn apart, so that their variances add.
    variance = sum(
        rate * (1 - rate) / found.sizes[name]
        for rate, name in ((reached["recall"], "members"), (reached["fpr"], "original"))
    )
    assert high - low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.1)
    assert low < reached["advantage"] < high
