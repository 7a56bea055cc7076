"""LiRA: its numbers, as published and by its formula."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from tests.helpers import REFERENCE
from tests.measures.judging import ranking_metrics
from tests.signals.many_models import (
    LIRA,
    PUBLISHED,
    arrays,
    compared,
    comparison_of,
    ranked,
    save,
    score,
    summaries,
)
from trustmia.arrays import BLOCK
from trustmia.attacks import lira
from trustmia.signals import confidence
from trustmia.signals.many_models import read_signals
from trustmia.signals.summaries import summarise


@pytest.mark.parametrize("name", [name for name in LIRA if "one_sided" not in name])
def test_lira_gives_the_published_codes_numbers(name: str) -> None:
    signals = read_signals(REFERENCE / "signals.npz")
    # The published code has the target's complement among the models, and the first 8 of a side.
    used = np.zeros((17, 2500), bool)
    for side in (signals.member[1:], ~signals.member[1:]):
        used |= side & (side.cumsum(axis=0) <= 8)
    found = summarise(signals.images, signals.member, 0, np.arange(1, 18), used)
    if name == "lira_online_global_variance":
        # It takes the IN models' standard deviation for both sides.
        outside = replace(found.out_models, grand_std=found.in_models.grand_std)
        found = replace(found, out_models=outside)
    metrics = ranking_metrics(score(name, found, None), signals.member[0])
    for metric, value in PUBLISHED[name.replace("global", "fixed")].items():
        assert metrics[metric] == pytest.approx(value, abs=1e-3), metric


PUBLISHED_V2 = {
    "rmia_offline": {"auroc": 0.697941, "tpr_at_1pct_fpr": 0.131305, "tpr_at_0.1pct_fpr": 0.068054},
    "rmia_online": {"auroc": 0.710429, "tpr_at_1pct_fpr": 0.154524, "tpr_at_0.1pct_fpr": 0.080064},
    "difficulty": {"auroc": 0.619741, "tpr_at_1pct_fpr": 0.056045, "tpr_at_0.1pct_fpr": 0.028823},
}


@pytest.mark.parametrize("name", PUBLISHED_V2)
def test_an_audit_without_the_complement_gives_the_published_formulas_numbers(name: str) -> None:
    signals = read_signals(REFERENCE / "signals.npz")
    said = compared(signals, ["rmia", "difficulty"])
    assert (comparison_of(said).left_out, comparison_of(said).per_side) == ((1,), None)
    found = ranking_metrics(*ranked(said.forms[name]))
    for metric, value in PUBLISHED_V2[name].items():
        assert found[metric] == pytest.approx(value, abs=0.002), metric
    if name == "rmia_offline":
        share = ranking_metrics(said.forms[name].scores, signals.member[0])
        assert share["auroc"] == pytest.approx(0.697959, abs=0.001)
        assert share["tpr_at_1pct_fpr"] == pytest.approx(0.130504, abs=0.005)


def test_lira_is_the_difference_of_two_log_densities() -> None:
    content = arrays()
    phi = confidence.from_logits(content["logits"][:, :, None], content["labels"])[..., 0]
    densities = []
    for keep in (content["member"][1:], ~content["member"][1:]):
        side = np.where(keep, phi[1:], np.nan)
        centre, spread = np.nanmedian(side, axis=0), np.nanstd(side, axis=0) + 1e-30
        densities.append(scipy.stats.norm(centre, spread).logpdf(phi[0]))
    found = score("lira_online", *summaries(content))
    np.testing.assert_allclose(found, densities[0] - densities[1], rtol=1e-6)


def test_global_variance_is_that_of_all_confidences_and_flat_images_have_that_around_medians(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = arrays(views=2)
    phi = confidence.from_logits(content["logits"], content["labels"])
    others = np.where(content["member"][1:, :, None], np.nan, phi[1:])
    around = np.square(others - np.nanmedian(others, axis=0))
    for block in (BLOCK, 100):
        monkeypatch.setattr("trustmia.arrays.BLOCK", block)
        audited, _ = summaries(content)
        np.testing.assert_allclose(audited.out_models.grand_std, np.nanstd(others))
        pooled = np.sqrt(np.nanmean(around, axis=(0, 1)))
        np.testing.assert_allclose(audited.out_models.spread, pooled)


def test_variance_of_lira_follows_the_setting_and_the_number_of_models(tmp_path: Path) -> None:
    path = save(tmp_path / "signals.npz", arrays())
    for variance, suffixes in (
        ("per_example", {False}),
        ("global", {True}),
        ("auto", {True}),
        ("both", {False, True}),
    ):
        said = compared(read_signals(path), ["lira"], lira={"variance": variance})
        assert {name.endswith("global_variance") for name in said.forms} == suffixes
    many = lira.LIRA.forms_for(lira.Settings(variance="auto"), 64)
    assert not any(form.name.endswith("global_variance") for form in many)
