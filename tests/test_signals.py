"""Attacks with reference models: their numbers, their files, their intervals."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score

from tests.attacking import COMPARED, COMPARING, attack
from tests.helpers import REFERENCE, ROOT, run
from tests.judging import ranking_metrics, rate_by_hand
from trustmia import files
from trustmia.arrays import BLOCK
from trustmia.attacks import ATTACKS, lira, rmia
from trustmia.attacks.base import Need, Refused
from trustmia.attacks.outcome import AttackRun, AttackScores
from trustmia.attacks.rmia import TUNED_A, offline_prior, share_exceeded
from trustmia.commands.audit import Order, audit_signals
from trustmia.errors import UserError
from trustmia.signals import confidence
from trustmia.signals.comparison import Comparison, compare
from trustmia.signals.container import Signals
from trustmia.signals.many_models import CONVERSIONS, ManyModels, ModelOutputs, read_signals
from trustmia.signals.rounding import Rounding
from trustmia.signals.scores import ScoreSet
from trustmia.signals.sides import as_many_as, equal_sides, unrelated
from trustmia.signals.summaries import Summary, in_order, median_of, summarise

LIRA, RMIA = ([form.name for form in ATTACKS[name].forms] for name in ("lira", "rmia"))
Arrays = dict[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]


def arrays(models: int = 6, images: int = 40, views: int | None = None, seed: int = 0) -> Arrays:
    """Return signals of models that are surer of the images they were trained on."""
    rng = np.random.default_rng(seed)
    half = rng.random((models // 2, images)).argsort(axis=1) < images // 2
    member = np.stack([half, ~half], axis=1).reshape(models, images)
    labels = rng.integers(4, size=images)
    shape = (models, images, 4) if views is None else (models, images, views, 4)
    logits = rng.normal(size=shape)
    gain = (2 + 2 * member).reshape(models, images, *[1] * (len(shape) - 2))
    logits += gain * np.eye(4)[labels].reshape(1, images, *[1] * (len(shape) - 3), 4)
    population_labels = rng.integers(4, size=30)
    population = rng.normal(size=(models, 30, *shape[2:]))
    population += 2 * np.eye(4)[population_labels].reshape(1, 30, *[1] * (len(shape) - 3), 4)
    return {
        "logits": logits.astype(np.float32),
        "member": member,
        "labels": labels,
        "population_logits": population.astype(np.float32),
        "population_labels": population_labels,
    }


def save(path: Path, content: Arrays) -> Path:
    files.write_arrays(path, content)
    return path


def compared(
    models: ManyModels, names: Sequence[str] = COMPARING, target: int = 0, **changes: dict[str, Any]
) -> AttackRun:
    return attack(Signals(models=models, target_index=target), names, changes)


def scores_of(path: Path, target: int = 0) -> dict[str, Floats]:
    models = read_signals(path)
    forms = compared(models, target=target).forms
    return {name: form.scores[models.audited] for name, form in forms.items()}


def ranked(form: AttackScores) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the ranking of the audited images that have one, and which are members."""
    parts = [form.ranking[form.groups[name]] for name in ("members", "original")]
    ranking = np.concatenate(parts)
    member = np.arange(len(ranking)) < len(parts[0])
    return ranking[~np.isnan(ranking)], member[~np.isnan(ranking)]


def comparison_of(said: AttackRun) -> Comparison:
    assert said.comparison is not None
    return said.comparison


def score(name: str, found: Summary, population: Summary | None, **changes: Any) -> Floats:
    settings = ATTACKS[name.split("_")[0]].settings(**changes)
    return COMPARED[name].score(found, population, settings)


def audit(path: Path, names: Sequence[str], out: Path, target: int = 0, resamples: int = 0) -> str:
    settings = {name: ATTACKS[name].settings() for name in names}
    return audit_signals(path, target, Order(settings, out, resamples, seed=0))


# Numbers


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((REFERENCE / "signals_expected.json").read_text())
    return expected["attacks"]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("lira_online", "lira_online"),
        ("lira_online_fixed_variance", "lira_online_global_variance"),
        ("lira_offline", "lira_offline"),
        ("lira_offline_fixed_variance", "lira_offline_global_variance"),
    ],
)
def test_lira_gives_the_published_codes_numbers(
    name: str, ours: str, published: dict[str, Any]
) -> None:
    signals = read_signals(REFERENCE / "signals.npz")
    # The published code has the target's complement among the models, and the first 8 of a side.
    used = np.zeros((17, 2500), bool)
    for side in (signals.member[1:], ~signals.member[1:]):
        used |= side & (side.cumsum(axis=0) <= 8)
    found = summarise(signals.images, signals.member, 0, np.arange(1, 18), used)
    if ours == "lira_online_global_variance":
        # It takes the IN models' standard deviation for both sides.
        outside = replace(found.out_models, grand_std=found.in_models.grand_std)
        found = replace(found, out_models=outside)
    metrics = ranking_metrics(score(ours, found, None), signals.member[0])
    for metric, value in published[name].items():
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


@pytest.mark.parametrize("a", [0.3, 1.0])
@pytest.mark.parametrize("references", [1, 4, 8])
def test_rmia_gives_the_published_codes_numbers(
    references: int, a: float, published: dict[str, Any]
) -> None:
    signals = read_signals(REFERENCE / "signals.npz")
    # The target's pair is left out; of each other pair one model is OUT.
    used = np.arange(2, 2 + 2 * references)
    found = [
        summarise(part, member, 0, used)
        for part, member in (
            (signals.images, signals.member),
            (signals.population, np.zeros_like(signals.member)),
        )
        if part is not None
    ]
    scores = score("rmia_offline", found[0], found[1], a=a)
    expected = published[f"rmia_offline_refs{references}_a{a}"]
    assert_close(ranking_metrics(scores, signals.member[0]), expected)


def assert_close(found: dict[str, float | None], expected: dict[str, float]) -> None:
    assert found["auroc"] == pytest.approx(expected["auroc"], abs=0.01)
    assert found["tpr_at_1pct_fpr"] == pytest.approx(expected["tpr_at_1pct_fpr"], abs=0.03)
    rough = expected["tpr_at_0.1pct_fpr"]
    # Where shares tie, no threshold has this FPR; the published code then finds nobody.
    assert (found["tpr_at_0.1pct_fpr"] or 0.0) == pytest.approx(rough, abs=0.07)


def test_confidence_is_the_same_from_logits_scores_and_probability() -> None:
    content = arrays(views=2)
    logits, labels = content["logits"].astype(np.float64), content["labels"]
    from_logits = confidence.from_logits(logits, labels)
    scores = softmax(logits, axis=-1)
    np.testing.assert_allclose(confidence.from_scores(scores, labels), from_logits, rtol=1e-9)
    true = np.take_along_axis(scores, labels[None, :, None, None], axis=-1)[..., 0]
    np.testing.assert_allclose(confidence.from_probability(true), from_logits, rtol=1e-6)
    np.testing.assert_allclose(confidence.probability(from_logits), true)
    expected = np.take_along_axis(
        log_softmax(logits, axis=-1), labels[None, :, None, None], axis=-1
    )
    np.testing.assert_allclose(confidence.log_probability(from_logits), expected[..., 0])


def test_confidence_of_saturated_models_is_finite_and_keeps_its_order() -> None:
    logits = np.zeros((1, 5, 1, 2), np.float32)
    logits[0, :, 0, 0] = [0, 50, 500, 5000, -5000]
    found = confidence.from_logits(logits, np.zeros(5, np.int64)).ravel()
    assert found.tolist() == [0, 50, 500, 5000, -5000]
    saturated = np.eye(2, dtype=np.float32).reshape(1, 2, 1, 2)
    assert np.isfinite(confidence.from_scores(saturated, np.zeros(2, np.int64))).all()
    assert np.isfinite(confidence.from_probability(np.asarray([0, 1], np.float32))).all()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 3), st.integers(0, 10**6))
def test_median_over_a_mask_is_that_of_each_image_alone(
    models: int, images: int, views: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values, mask = rng.normal(size=(models, images, views)), rng.random((models, images)) < 0.6
    found = median_of(in_order(values, mask)[0], mask.sum(axis=0))
    for i in range(images):
        chosen = values[mask[:, i], i]
        expected = np.median(chosen, axis=0) if len(chosen) else np.full(views, np.nan)
        np.testing.assert_array_equal(found[i], expected)


def in_memory(phi: Floats) -> ModelOutputs:
    """Return models that say confidences, float64 [M, N, A]."""
    unused = np.zeros(phi.shape[1], np.int64)
    return ModelOutputs(list(phi), lambda block, _: block, unused, "")


def summaries(content: Arrays, target: int = 0) -> tuple[Summary, Summary]:
    views = content["logits"].ndim == 4
    shaped = [
        content[name] if views else content[name][:, :, None]
        for name in ("logits", "population_logits")
    ]
    parts = []
    for values, labels, member in (
        (shaped[0], content["labels"], content["member"]),
        (shaped[1], content["population_labels"], np.zeros(shaped[1].shape[:2], bool)),
    ):
        phi = confidence.from_logits(values, labels)
        references = np.delete(np.arange(len(phi)), target)
        parts.append(summarise(in_memory(phi), member, target, references))
    return parts[0], parts[1]


@settings(deadline=None, max_examples=50)
@given(st.floats(-800, 800), st.integers(1, 64), st.integers(1, 64))
def test_any_number_of_models_that_say_the_same_are_one_model(
    phi: float, inside: int, outside: int
) -> None:
    block = np.full((1 + inside + outside, 1, 2), phi)
    member = np.arange(len(block))[:, None] <= inside
    found = summarise(in_memory(block), member, 0, np.arange(1, len(block)))
    for side, models in ((found.in_models, inside), (found.out_models, outside)):
        assert side.count == models and (side.median == phi).all() and (side.std == 0).all()
        assert (side.log_probability == confidence.log_probability(block[0])).all()
        assert (side.probability == confidence.probability(block[0])).all()
    assert (found.in_models.spread == found.out_models.spread).all() and found.in_models.spread[
        0
    ] > 0
    assert found.without_spread() == int(max(inside, outside) > 1)


def test_lira_is_the_difference_of_two_log_densities() -> None:
    content = arrays()
    phi = confidence.from_logits(content["logits"][:, :, None], content["labels"])[..., 0]
    found = score("lira_online", *summaries(content))
    for i in range(phi.shape[1]):
        inside = content["member"][1:, i]
        parts = []
        for side in (phi[1:, i][inside], phi[1:, i][~inside]):
            density = scipy.stats.norm(np.median(side), side.std() + 1e-30)
            parts.append(density.logpdf(phi[0, i]))
        assert found[i] == pytest.approx(parts[0] - parts[1], rel=1e-6)


def test_global_variance_is_that_of_all_confidences_and_flat_images_have_that_around_medians(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = arrays(views=2)
    phi = confidence.from_logits(content["logits"], content["labels"])
    around: list[Floats] = []
    everything: list[Floats] = []
    for i in range(phi.shape[1]):
        outside = phi[1:, i][~content["member"][1:, i]]
        everything.extend(outside)
        around.extend(outside - np.median(outside, axis=0))
    for block in (BLOCK, 100):
        monkeypatch.setattr("trustmia.arrays.BLOCK", block)
        audited, _ = summaries(content)
        np.testing.assert_allclose(audited.out_models.grand_std, np.std(everything))
        pooled = np.sqrt(np.mean(np.square(around), axis=0))
        np.testing.assert_allclose(audited.out_models.spread, pooled)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=20),
    st.lists(st.integers(1, 6), min_size=1, max_size=20),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_sorted_rmia_is_the_matrix_of_all_pairs(xs: list[int], zs: list[int], gamma: float) -> None:
    x, z = np.asarray(xs, float), np.asarray(zs, float)
    matrix = (x[:, None] / z[None, :] > gamma).mean(axis=1)
    np.testing.assert_array_equal(share_exceeded(x[:, None], z[:, None], gamma), matrix)


def test_shares_of_several_views_tie_whatever_the_order_of_the_views() -> None:
    x = np.stack([np.roll(np.array([2.0, 3.0, 4.0]), shift) for shift in range(3)])
    shares = share_exceeded(x, np.repeat(np.arange(1.5, 11)[:, None], 3, axis=1), 1.0)
    assert shares.tolist() == [0.2] * 3


def test_rmia_offline_follows_its_formula() -> None:
    content = arrays()
    probability = softmax(content["logits"].astype(float), axis=-1)
    p = np.take_along_axis(probability, content["labels"][None, :, None], axis=-1)[..., 0]
    shown = softmax(content["population_logits"].astype(float), axis=-1)
    q = np.take_along_axis(shown, content["population_labels"][None, :, None], axis=-1)[..., 0]
    outside = ~content["member"][1:]
    a = 0.6
    prior = offline_prior((p[1:] * outside).sum(0) / outside.sum(0), a)
    assert prior[0] == pytest.approx(((1 + a) * p[1:, 0][outside[:, 0]].mean() + 1 - a) / 2)
    ratio, shown_ratio = p[0] / prior, q[0] / offline_prior(q[1:].mean(0), a)
    expected = (ratio[:, None] / shown_ratio[None] > 1.1).mean(axis=1)
    found = score("rmia_offline", *summaries(content), a=a, gamma=1.1)
    np.testing.assert_allclose(found, expected)


def test_baselines_are_the_loss_and_its_distance_from_other_models() -> None:
    content = arrays()
    logs = log_softmax(content["logits"].astype(float), axis=-1)
    log_p = np.take_along_axis(logs, content["labels"][None, :, None], axis=-1)[..., 0]
    found = summaries(content)
    np.testing.assert_allclose(score("loss", *found), log_p[0])
    outside = ~content["member"][1:]
    others = (log_p[1:] * outside).sum(0) / outside.sum(0)
    calibrated = score("difficulty", *found)
    np.testing.assert_allclose(calibrated, log_p[0] - others)


@pytest.mark.parametrize("name", COMPARED)
def test_every_attack_finds_members_of_models_that_leak(name: str) -> None:
    content = arrays(models=16, images=400)
    found = score(name, *summaries(content))
    assert roc_auc_score(content["member"][0], found) > 0.6


def test_views_of_an_image_are_averaged() -> None:
    once = arrays()
    twice = dict(once)
    for name in ("logits", "population_logits"):
        twice[name] = np.repeat(once[name][:, :, None], 2, axis=2)
    for name in COMPARED:
        first, second = (score(name, *summaries(c)) for c in (once, twice))
        np.testing.assert_allclose(first, second)


def test_reading_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summaries(arrays())
    monkeypatch.setattr("trustmia.arrays.BLOCK", 21)
    for one, other in zip(whole, summaries(arrays()), strict=True):
        np.testing.assert_array_equal(one.target, other.target)
        for first, second in ((one.in_models, other.in_models), (one.out_models, other.out_models)):
            np.testing.assert_allclose(first.spread, second.spread)
            np.testing.assert_array_equal(first.median, second.median)
            np.testing.assert_array_equal(first.probability, second.probability)


def halves(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[np.bool_]:
    """Put each image into exactly half of the models, so that counts tell members apart."""
    return rng.random((models, images)).argsort(axis=0) < models // 2


def pairs(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[np.bool_]:
    half = rng.random((models // 2, images)).argsort(axis=1) < images // 2
    return np.stack([half, ~half], axis=1).reshape(-1, images)


def coins(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[np.bool_]:
    return rng.random((models, images)) < 0.5


Says = Callable[[np.random.Generator, int, int], npt.NDArray[Any]]


def binary(says: Says, models: int, images: int, design: Any, views: int | None = None) -> Arrays:
    """Return signals of two classes: a probability of the true one that ignores membership."""
    rng = np.random.default_rng(models)
    content: Arrays = {"member": design(rng, models, images)}
    for prefix, count in (("", images), ("population_", 50)):
        true = says(rng, models, count)
        scores = np.stack([true, 1 - true], axis=-1)
        if views is not None:
            scores = np.repeat(scores[:, :, None], views, axis=2)
        content |= {f"{prefix}scores": scores, f"{prefix}labels": np.zeros(count, np.int64)}
    return content


def constant(value: float, kind: str = "f8") -> Says:
    return lambda rng, models, images: np.full((models, images), value, kind)


def forms_of(path: Path) -> dict[str, tuple[float | None, float | None]]:
    """Return AUROC and balanced accuracy of every form that is possible."""
    said = compared(read_signals(path))
    found = {}
    for name, form in said.forms.items():
        ranking, member = ranked(form)
        assert np.isfinite(ranking).all(), name
        metrics = ranking_metrics(ranking, member)
        found[name] = (metrics["auroc"], metrics["balanced_accuracy"])
    return found


SAME = {
    "certain": constant(1),
    "wrong": constant(0),
    "probability": constant(0.7, "f4"),
    "half precision": constant(0.9995, "f2"),
    "third": constant(1 / 3),
}


@pytest.mark.parametrize("design", [halves, pairs, coins])
@pytest.mark.parametrize("says", SAME.values(), ids=SAME)
def test_models_that_say_the_same_of_all_images_tie(
    says: Says, design: Any, tmp_path: Path
) -> None:
    for models, views in ((2, None), (4, 2), (6, None), (8, None), (12, 3), (22, None), (64, 2)):
        content = binary(says, models, 64, design, views)
        found = forms_of(save(tmp_path / "signals.npz", content))
        assert set(found.values()) == {(0.5, 0.5)}, models
        assert len(found) > 4 or design is coins or models == 2


@pytest.mark.parametrize("models", [6, 8, 16])
def test_models_that_agree_on_each_image_say_nothing_by_their_spread(
    models: int, tmp_path: Path
) -> None:
    def agree(rng: np.random.Generator, models: int, images: int) -> Floats:
        return np.broadcast_to(rng.random(images), (models, images))

    found = forms_of(save(tmp_path / "signals.npz", binary(agree, models, 400, halves)))
    # These rank by the target alone.
    assert {found.pop(name)[0] != 0.5 for name in ("loss", "rmia_offline")} == {True}
    assert set(found.values()) == {(0.5, 0.5)}


def test_rounding_is_no_spread(tmp_path: Path) -> None:
    def noisy(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[Any]:
        steps = rng.integers(-1, 2, size=(models, images)).astype(np.float32)
        return np.float32(0.7) * (1 + steps * np.float32(2**-23))

    path = save(tmp_path / "signals.npz", binary(noisy, 6, 400, halves))
    found = forms_of(path)
    assert {found[name] for name in LIRA} == {(0.5, 0.5)}
    assert all(0.4 < auroc < 0.6 for auroc, _ in found.values() if auroc is not None)
    said = compared(read_signals(path), ["loss"])
    assert comparison_of(said).audited.without_spread() == 400


@pytest.mark.parametrize("models", [6, 8])
@pytest.mark.parametrize("right", [0.5, 0.95])
def test_few_models_that_agree_by_chance_give_no_confident_number(
    right: float, models: int, tmp_path: Path
) -> None:
    def label(rng: np.random.Generator, models: int, images: int) -> Floats:
        return (rng.random((models, images)) < right).astype(float)

    path = save(tmp_path / "signals.npz", binary(label, models, 2000, halves))
    found = forms_of(path)
    for name in ("lira_online", "lira_offline"):
        auroc = found[name][0]
        assert auroc is not None and 0.42 < auroc < 0.58, name
    content = read_signals(path)
    said = scores_of(path)["lira_online"]
    assert 0 < np.abs(said).max() < 1000 and len(content.member) == models


def test_probabilities_too_small_for_float64_tie_in_rmia(tmp_path: Path) -> None:
    content = binary(constant(0.5), 6, 40, halves)
    content = {name.replace("scores", "logits"): array for name, array in content.items()}
    content["logits"][:, :20] = [-5000, 0]
    found = scores_of(save(tmp_path / "signals.npz", content))
    assert set(found["rmia_online"]) == {0}
    assert all(np.isfinite(scores).all() for scores in found.values())


def test_images_without_spread_are_counted_and_told(tmp_path: Path) -> None:
    content = arrays(models=8)
    content["logits"][:, :7] = content["logits"][:1, :7]
    path = save(tmp_path / "signals.npz", content)
    told = audit(path, ["lira"], tmp_path / "out")
    assert "No spread in 7 of 40 images" in told
    assert files.read_json(tmp_path / "out" / "metrics.json")["num_without_spread"] == 7
    told = audit(save(path, arrays(models=8)), ["lira"], tmp_path / "plain")
    assert "No spread" not in told
    assert files.read_json(tmp_path / "plain" / "metrics.json")["num_without_spread"] == 0


# Signals that know nothing of membership


def near_halves(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[np.bool_]:
    count = models // 2 + rng.integers(-1, 2, images)
    return rng.random((models, images)).argsort(axis=0) < count


def folds(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[np.bool_]:
    return rng.integers(models, size=images) == np.arange(models)[:, None]


NOISE: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "noise": lambda phi, rng: phi,
    "images": lambda phi, rng: 0.5 * phi + 3 * rng.normal(size=phi.shape[1]),
    "models": lambda phi, rng: phi + 4 * np.arange(len(phi))[:, None],
    "tied": lambda phi, rng: np.rint(phi),
    "hard": lambda phi, rng: np.where(phi > 0, 17.0, -17.0),
}


def two_logits(phi: Floats) -> Floats:
    return np.stack([phi, np.zeros_like(phi)], axis=-1)


@pytest.mark.parametrize("models", [4, 6, 8, 16, 64])
@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("design", [pairs, halves, coins, near_halves, folds])
def test_every_form_is_at_chance_where_signals_know_nothing(
    design: Says, kind: str, models: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(models)
    shown = NOISE[kind](rng.normal(size=(models, 1500)), rng)
    content = {
        "logits": two_logits(shown[:, :1200]),
        "labels": np.zeros(1200, int),
        "member": design(rng, models, 1200),
        "population_logits": two_logits(shown[:, 1200:]),
        "population_labels": np.zeros(300, int),
    }
    signals = read_signals(save(tmp_path / "signals.npz", content))
    said = compared(signals)
    assert "difficulty" in said.forms and (design is folds or "rmia_online" in said.forms)
    for name, form in said.forms.items():
        ranking, member = ranked(form)
        metrics = ranking_metrics(ranking, member)
        members, others = int(member.sum()), int((~member).sum())
        error = np.sqrt((members + others + 1) / (12 * members * others))
        assert metrics["auroc"] == pytest.approx(0.5, abs=4 * error), name
        if others >= 100:
            # Members above the first held-out image beyond 1%: few, by chance.
            above = scipy.stats.betabinom(members, others // 100 + 1, others - others // 100)
            assert (metrics["tpr_at_1pct_fpr"] or 0) <= above.ppf(1 - 1e-6) / members, name


def some_of(all_models: int, design: Says) -> Says:
    """Return a design of which only the first models are known."""
    return lambda rng, models, images: design(rng, all_models, images)[:models]


def half_coins(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[np.bool_]:
    """Put each image into half of the first half of models; coins decide for the others."""
    own = halves(rng, models // 2, images)
    return np.concatenate([own, coins(rng, models - models // 2, images)])


def uneven(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[np.bool_]:
    """Put some images into most models, others into few."""
    return rng.random((models, images)) < rng.beta(4, 4, images)


def null_signals(
    rng: np.random.Generator, member: npt.NDArray[np.bool_], surer: float = 2.0
) -> ManyModels:
    """Return signals that know nothing of membership; model 1 is surer of all images."""
    models, images = member.shape

    def shown(count: int) -> ModelOutputs:
        phi = rng.normal(0, 2, count) + rng.normal(size=(models, count))
        phi += np.where(np.arange(models) == 1, surer, 0.0)[:, None]
        return in_memory(phi[:, :, None])

    names = tuple(map(str, range(models)))
    return ManyModels(shown(images), member, shown(60), slice(0, images), "null", names, {})


def area_of(said: AttackRun, name: str) -> float:
    ranking, member = ranked(said.forms[name])
    return float(roc_auc_score(member, ranking))


def z_of(differences: Floats) -> float:
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean() / max(error, 1e-12))


NULL_DESIGNS: dict[str, tuple[Says, int, int]] = {
    "halves": (halves, 6, 60),
    "8 of 16": (some_of(16, halves), 8, 100),
    "6 of 8": (some_of(8, halves), 6, 60),
    "5 of 6": (some_of(6, halves), 5, 40),
    "4 of 8": (some_of(8, halves), 4, 100),
    "32 of 48": (some_of(48, halves), 32, 60),
    "mixed 16": (half_coins, 16, 100),
    "mixed 8": (half_coins, 8, 200),
    "mixed 64": (half_coins, 64, 60),
    "uneven": (uneven, 8, 100),
    "32 of 128": (some_of(128, halves), 32, 400),
    "mixed of many": (half_coins, 8, 1000),
    "coins": (coins, 8, 60),
    "more coins": (coins, 8, 400),
}


@pytest.mark.parametrize(("design", "models", "images"), NULL_DESIGNS.values(), ids=NULL_DESIGNS)
def test_numbers_of_models_say_nothing_in_many_audits_of_a_design(
    design: Says, models: int, images: int
) -> None:
    apart = []
    for seed in range(200):
        member = design(np.random.default_rng(seed), models, images)
        used = equal_sides(member[1:], member[0])
        counts = [(s if used is None else s & used).sum(axis=0) for s in (member[1:], ~member[1:])]
        online, own = (counts[0] > 0) & (counts[1] > 0), member[0]
        apart.append([c[own & online].mean() - c[~own & online].mean() for c in counts])
    assert max(abs(z_of(side)) for side in np.asarray(apart).T) < 3


@pytest.mark.parametrize("name", ["8 of 16", "5 of 6", "mixed 8"])
def test_many_audits_of_a_design_are_at_chance(name: str) -> None:
    design, models, images = NULL_DESIGNS[name]
    found: dict[str, list[float]] = {}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        # Models that differ in kind, as those of half a design do, may not differ in confidence.
        surer = 0.0 if design is half_coins else 2.0
        signals = null_signals(rng, design(rng, models, images), surer)
        said = compared(signals, ["lira", "rmia"], lira={"variance": "global"})
        for form in said.forms:
            found.setdefault(form, []).append(area_of(said, form))
    assert len(found) == 5
    for form, areas in found.items():
        assert abs(z_of(np.asarray(areas) - 0.5)) < 3, form


@pytest.mark.parametrize("models", [4, 8, 16, 64])
def test_independent_coins_keep_their_numbers_as_a_rule(models: int) -> None:
    rng, kept = np.random.default_rng(models), 0
    for _ in range(60):
        member = coins(rng, models, 400)
        used = equal_sides(member[1:], member[0])
        kept += used is None
        assert used is None or used.mean() > 0.9
    assert kept >= 45


def test_members_and_held_out_images_have_the_same_numbers_of_both_sides() -> None:
    rng = np.random.default_rng(0)
    for design, models, images in NULL_DESIGNS.values():
        member = design(rng, models, images)
        own = member[0]
        used = equal_sides(member[1:], own)
        if used is None:
            continue
        counts = [(side & used).sum(axis=0) for side in (member[1:], ~member[1:])]
        online = (counts[0] > 0) & (counts[1] > 0)
        for count in (*counts, 100 * counts[0] + counts[1]):
            # The same up to a few ranks: members and held-out images are not equally many.
            found = scipy.stats.ks_2samp(count[online & own], count[online & ~own])
            assert found.statistic <= (3 + images // 100) / min(own.sum(), (~own).sum())


@pytest.mark.parametrize("images", [10, 99, 100, 700])
def test_an_image_that_lacks_models_costs_no_other_its_own(images: int) -> None:
    member = pairs(np.random.default_rng(0), 6, images)[[0, 2, 3, 4, 5]]
    lacking = max(1, images // 100)
    member[1:, :lacking] = False
    used = equal_sides(member[1:], member[0])
    assert used is not None
    inside, outside = ((side & used).sum(axis=0) for side in (member[1:], ~member[1:]))
    assert np.array_equal(np.flatnonzero(inside == 0), np.arange(lacking)) and outside.all()


def with_relation(share: float) -> Says:
    def design(rng: np.random.Generator, models: int, images: int) -> npt.NDArray[np.bool_]:
        member = coins(rng, models, images)
        member[1] = ~member[0] ^ (rng.random(images) < share)
        return member

    return design


@pytest.mark.parametrize("share", [0.06, 0.08, 0.15])
def test_a_model_related_to_the_target_does_not_tell_members(share: float) -> None:
    found: dict[str, list[float]] = {}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        signals = null_signals(rng, with_relation(share)(rng, 5, 1000))
        said = compared(signals, ["lira", "rmia"])
        assert comparison_of(said).left_out == (1,) and not comparison_of(said).outstanding()
        for name in said.forms:
            found.setdefault(name, []).append(area_of(said, name))
    for name, areas in found.items():
        assert abs(z_of(np.asarray(areas) - 0.5)) < 3, name


def test_a_model_somewhat_related_to_the_target_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for design, told in ((with_relation(0.3), "1 (r = -0."), (coins, ""), (halves, "")):
        content = arrays(models=8, images=600) | {"member": design(rng, 8, 600)}
        path = save(tmp_path / "signals.npz", content)
        said = audit(path, ["difficulty"], tmp_path / "out")
        note = "Trained on the target's images more, or less, often than the other reference"
        assert (note in said) == bool(told) and told in said
    # Designs that treat all models alike leave none out.
    for design, models in ((halves, 4), (folds, 3)):
        member = design(rng, models, 600)
        assert len(unrelated(member, 0, np.arange(1, models))) == models - 1


def test_models_a_side_are_said_and_independent_coins_keep_theirs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for design, per_side, left_out in (
        (halves, {"in": 3, "out": 3}, []),
        (coins, None, []),
        (pairs, None, [1]),
    ):
        content = arrays(models=8, images=400) | {"member": design(rng, 8, 400)}
        path = save(tmp_path / "signals.npz", content)
        told = audit(path, ["difficulty"], tmp_path / "out")
        found = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert (found["models_per_side"], found["models_left_out"]) == (per_side, left_out)
        assert ("each image 3 of those and 3 of the others are used" in told) == (design is halves)


def test_further_sets_have_as_many_out_models_as_held_out_images_of_independent_coins() -> None:
    wanted = np.random.default_rng(0).integers(1, 7, size=500)
    found = as_many_as(wanted, np.ones((9, 500), bool))
    assert np.array_equal(np.sort(found.sum(axis=0)), np.sort(wanted))
    # Which image has how many is by chance, and which ones.
    assert abs(np.corrcoef(found.sum(axis=0), np.arange(500))[0, 1]) < 0.2
    assert found.mean(axis=1).std() < 0.05
    own = np.random.default_rng(1).permuted(np.arange(9)[:, None] < wanted, axis=0)
    assert np.array_equal(as_many_as(wanted, own), own)


def test_rmia_ranks_by_the_ratio_where_shares_tie(tmp_path: Path) -> None:
    content = arrays(models=8, images=300)
    for views in (None, 3):
        content = arrays(models=8, images=300, views=views)
        content["population_logits"] = content["population_logits"][:, :2]
        content["population_labels"] = content["population_labels"][:2]
        path = save(tmp_path / "signals.npz", content)
        form = compared(read_signals(path), ["rmia"]).forms["rmia_offline"]
        assert len(np.unique(form.scores)) < 8 and len(np.unique(form.ranking)) > 250
        order = np.argsort(form.ranking)
        assert (np.diff(form.scores[order]) >= 0).all()


# Rounded scores


TWO_SIDED = ("lira_offline", "lira_offline_global_variance")


@pytest.mark.parametrize("decimals", [6, 4, 3])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rounded_scores_are_as_far_from_0_and_1_as_their_decimals_show(
    kind: type, decimals: int, tmp_path: Path
) -> None:
    content = dict(np.load(REFERENCE / "signals.npz"))
    logits = read_signals(REFERENCE / "signals.npz")
    exact = compared(logits, ["lira", "rmia"])
    for prefix in ("", "population_"):
        scores = softmax(content.pop(f"{prefix}logits").astype(float), axis=-1)
        content[f"{prefix}scores"] = scores.round(decimals).astype(np.float32).astype(kind)
    path = save(tmp_path / "signals.npz", content)
    signals = read_signals(path)
    assert signals.rounding is not None
    assert signals.rounding.least == pytest.approx(10.0**-decimals / 2)
    phi = signals.images.confidences(slice(0, 2500))
    assert np.abs(phi).max() < 20
    said = compared(signals, ["lira", "rmia"])
    for name, form in said.forms.items():
        area, before = (
            ranking_metrics(*ranked(found))["auroc"] or 0.0 for found in (form, exact.forms[name])
        )
        # How unusual a certain answer is, which the two-sided form asks, is lost.
        assert area > before - (0.05 if name in TWO_SIDED else 0.01), name
    told = audit(path, ["lira"], tmp_path / "out")
    true = content["scores"][..., 0]
    assert (content["labels"] == 0).all()
    ends = int(((true == 0) | (true == 1)).any(axis=0).sum())
    assert f"Rounded: in {ends} of 2500 images a model gives the true class 0 or 1; 0 c" in told
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["num_rounded"] == ends


def confident(models: int = 6, images: int = 600, classes: int = 5) -> Floats:
    """Return softmax of which a good part is beyond six decimals: float64 [M, N, K]."""
    logits = np.random.default_rng(0).normal(scale=7, size=(models, images, classes))
    return np.asarray(softmax(logits, axis=-1))


def of_step(scores: Floats, step: float, renormalised: bool = False) -> Floats:
    rounded = np.rint(scores / step) * step
    return rounded / rounded.sum(axis=-1, keepdims=True) if renormalised else rounded


def partly_in_full(scores: Floats, step: float, models: slice, images: slice) -> Floats:
    rounded = of_step(scores, step, renormalised=True)
    rounded[models, images] = scores[models, images]
    return rounded


FORMS: dict[str, tuple[float, Callable[[Floats], Any]]] = {
    "six decimals": (1e-6, lambda scores: scores.round(6)),
    "six decimals in float32": (1e-6, lambda scores: scores.round(6).astype(np.float32)),
    "divided by sums": (1e-6, lambda scores: of_step(scores, 1e-6, renormalised=True)),
    "two decimals by sums": (0.01, lambda scores: of_step(scores, 0.01, renormalised=True)),
    "bytes": (1 / 255, lambda scores: of_step(scores, 1 / 255)),
    "256ths": (1 / 256, lambda scores: of_step(scores, 1 / 256)),
    "256ths in float16": (1 / 256, lambda scores: of_step(scores, 1 / 256).astype(np.float16)),
    "a model in full": (1e-6, lambda scores: partly_in_full(scores, 1e-6, slice(1), slice(None))),
    "all models but one": (
        1e-6,
        lambda scores: partly_in_full(scores, 1e-6, slice(1, 9), slice(None)),
    ),
    "an image in full": (
        1e-6,
        lambda scores: partly_in_full(scores, 1e-6, slice(2, 3), slice(7, 8)),
    ),
    "some images in full": (
        1e-6,
        lambda scores: partly_in_full(scores, 1e-6, slice(9), slice(0, 600, 12)),
    ),
    "bytes and some": (
        1 / 255,
        lambda scores: partly_in_full(scores, 1 / 255, slice(9), slice(0, 600, 12)),
    ),
    "few images": (0.01, lambda scores: scores[:1, :9].round(2)),
    "float16 in float64": (2.0**-24, lambda scores: scores.astype(np.float16).astype(float)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_step_of_rounded_scores_is_found_in_any_form(form: str) -> None:
    step, write = FORMS[form]
    rounding = Rounding.of(list(write(confident())), 1, "scores")
    assert rounding.least == pytest.approx([step / 2], rel=0.03)
    assert f"0 counts as {rounding.least[0]:.2g}, 1 as {rounding.least[0]:.2g} less" in (
        rounding.note(600)
    )


@pytest.mark.parametrize("form", ["divided by sums", "a model in full", "some images in full"])
def test_no_confidence_is_beyond_the_coarsest_step(form: str, tmp_path: Path) -> None:
    content = {
        "scores": FORMS[form][1](confident()),
        "labels": np.zeros(600, int),
        "member": np.random.default_rng(1).integers(2, size=(6, 600)),
    }
    phi = read_signals(save(tmp_path / "signals.npz", content)).images.confidences(slice(0, 600))
    assert np.abs(phi).max() == pytest.approx(np.log(2e6), rel=0.001)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(
    ("kind", "write", "least"),
    [
        ("probability", lambda p: p.astype(np.float32), (2.0**-25, None)),
        ("probability", lambda p: p.round(6), (5e-7, 5e-7)),
        ("probability", lambda p: of_step(p, 1 / 256), (1 / 512, 1 / 512)),
        ("probability", lambda p: p.astype(np.float16), (2.0**-12, None)),
        ("loss", lambda p: -np.log(p.astype(np.float32)), (2.0**-25,)),
        ("loss", lambda p: -np.log(p).round(5), (5e-6,)),
    ],
)
def test_each_end_of_a_single_number_has_the_step_of_its_side(
    kind: str, write: Callable[[Floats], Any], least: tuple[float | None, ...], single: bool
) -> None:
    true = np.take_along_axis(confident(), confident().argmax(-1, keepdims=True)[:1], -1)[..., 0]
    said = write(true)
    rounding = Rounding.of(list(said if single else said.astype(np.float64)), 9, kind)
    for found, wanted in zip(rounding.least, least, strict=True):
        assert wanted is None or found == pytest.approx(wanted, rel=0.03)
    note = rounding.note(600)
    if kind == "loss":
        assert f"a loss of 0, which counts as {least[0]:.2g}." in note
    else:
        assert f"0 counts as {rounding.least[1]:.2g}, 1 as {least[0]:.2g} less than 1" in note


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_two_classes_of_which_one_is_the_rest_have_a_step_each(kind: type) -> None:
    p = confident(classes=2)[..., 0].astype(np.float32)
    scores: npt.NDArray[Any] = np.stack([1 - p, p], axis=-1).astype(kind)
    found = Rounding.of(list(scores), 1, "scores").least
    if kind != np.float16:
        assert found[0] == 2.0**-25
        assert found[1] < 1e-3 * found[0]
    labels = np.zeros(600, int)
    one, zero = np.asarray([[[0.0, 1]]]), np.asarray([[[1.0, 0]]])
    phi = [confidence.from_scores(s[None], labels[:1], found)[0, 0, 0] for s in (one, zero)]
    assert phi == pytest.approx([np.log(found[0]), -np.log(found[1])])


def test_scores_of_all_digits_are_not_rounded() -> None:
    for kind in (np.float16, np.float32, np.float64):
        draws = np.random.default_rng(0).dirichlet(np.ones(3), size=(4, 50))
        scores: npt.NDArray[Any] = np.asarray(draws, dtype=kind)
        scores[2, 7] = np.eye(3, dtype=kind)[0]
        rounding = Rounding.of(list(scores), 1, "scores")
        smallest = min(scores[scores > 0].min(), np.finfo(kind).epsneg)
        assert rounding.least == [smallest / 2]
        far = softmax(np.random.default_rng(0).normal(scale=70, size=(4, 900, 3)), axis=-1)
        scores = np.asarray(far, dtype=kind)
        least = float(scores[scores > 0].min()) / 2
        assert Rounding.of(list(scores), 1, "scores").least == [max(least, confidence.SMALLEST)]
    hard = np.eye(3, dtype=np.float32)[np.random.default_rng(0).integers(3, size=(4, 50))]
    assert Rounding.of(list(hard), 50, "scores").least == [2.0**-25]


# Files


def own_folder(folder: Path, content: Arrays) -> Path:
    folder.mkdir()
    for name, array in content.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def lira_folder(folder: Path, content: Arrays, kind: str) -> Path:
    phi = confidence.from_logits(content["logits"][:, :, None], content["labels"])
    for model, keep in enumerate(content["member"]):
        place = folder / str(model)
        place.mkdir(parents=True)
        np.save(place / "keep.npy", keep)
        if kind == "scores":
            np.save(place / "scores.npy", phi[model])
        else:
            np.save(place / "logits.npy", content["logits"][model][:, None])
    if kind == "logits":
        np.save(folder / "labels.npy", content["labels"])
    return folder


def privacy_meter_folder(folder: Path, content: Arrays, kind: str = "rmia") -> Path:
    (folder / "signals").mkdir(parents=True, exist_ok=True)
    np.save(folder / "memberships.npy", content["member"])
    for suffix, prefix in (("", ""), ("_pop", "population_")):
        logs = log_softmax(content[f"{prefix}logits"].astype(float), axis=-1)
        labels = content[f"{prefix}labels"]
        true = np.take_along_axis(logs, labels[None, :, None], axis=-1)[..., 0].T
        values = np.exp(true) if kind == "rmia" else -true
        np.save(folder / "signals" / f"{kind}_signals{suffix}.npy", values)
    return folder


def test_every_form_of_the_same_signals_gives_the_same_scores(tmp_path: Path) -> None:
    content = arrays(models=12)
    expected = scores_of(save(tmp_path / "signals.npz", content), 3)
    assert set(expected) == set(COMPARED)
    as_scores = {name.replace("logits", "scores"): array for name, array in content.items()}
    for name in ("scores", "population_scores"):
        as_scores[name] = softmax(as_scores[name].astype(float), axis=-1)
    forms = {
        "own folder": own_folder(tmp_path / "own", content),
        "scores": save(tmp_path / "scores.npz", as_scores),
        "published LiRA, scores": lira_folder(tmp_path / "lira", content, "scores"),
        "published LiRA, logits": lira_folder(tmp_path / "raw", content, "logits"),
        "Privacy Meter": privacy_meter_folder(tmp_path / "meter", content),
        "Privacy Meter, losses": privacy_meter_folder(tmp_path / "losses", content, "loss"),
    }
    for form, path in forms.items():
        found = scores_of(path, 3)
        missing = set(expected) - set(found)
        assert missing == (set(RMIA) if "LiRA" in form else set()), form
        for name, values in found.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-6, err_msg=f"{form} {name}")


def test_folder_is_memory_mapped_and_read_a_block_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = read_signals(own_folder(tmp_path / "own", arrays()))
    assert all(isinstance(model, np.memmap) for model in signals.images.models)
    monkeypatch.setattr("trustmia.arrays.BLOCK", 240)
    asked: list[int] = []
    original = type(signals.images).confidences

    def noting(self: Any, rows: slice) -> Floats:
        asked.append(rows.stop - rows.start)
        return original(self, rows)

    monkeypatch.setattr(type(signals.images), "confidences", noting)
    compared(signals, ["loss"])
    assert max(asked) == 10 and sum(asked) == 40 + 30


def test_audit_writes_metrics_with_intervals_and_a_row_per_image_and_attack(
    tmp_path: Path,
) -> None:
    path = save(tmp_path / "signals.npz", arrays(models=8, images=300))
    command = ["trustmia", "audit", "--signals", str(path), "--target-index", "2"]
    printed = run(ROOT, *command, "--attacks", "lira,rmia", "--out", str(tmp_path / "out")).stdout
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["target_index"] == 2 and metrics["num_models"] == 8
    assert set(metrics["attacks"]) == {*LIRA, *RMIA}
    entry = metrics["attacks"]["lira_online"]
    assert entry["tpr_at_0.1pct_fpr"] is None and entry["ci95"]["tpr_at_0.1pct_fpr"] is None
    low, high = entry["ci95"]["auroc"]
    assert low < entry["auroc"] < high
    rows = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert list(rows.columns) == ["image", "attack", "score", "member"]
    assert len(rows) == 300 * len(metrics["attacks"])
    one = rows[rows["attack"] == "lira_online"]
    assert roc_auc_score(one["member"], one["score"]) == pytest.approx(entry["auroc"])
    assert f"{entry['auroc']:.3f} [{low:.3f}, {high:.3f}]" in printed


def with_sets(content: Arrays) -> Arrays:
    """Add two further sets that no model was trained on, of 20 and 15 images."""
    extra = arrays(models=len(content["member"]), images=35, seed=9)
    rows = ["members"] * 25 + ["original"] * 15 + ["fake"] * 20 + ["digits"] * 15
    nobody = np.zeros((len(content["member"]), 35), bool)
    return content | {
        "logits": np.concatenate([content["logits"], extra["logits"]], axis=1),
        "member": np.concatenate([content["member"], nobody], axis=1),
        "labels": np.concatenate([content["labels"], extra["labels"]]),
        "set": np.asarray(rows),
    }


def test_further_sets_are_judged_offline_by_the_audited_images_threshold(tmp_path: Path) -> None:
    content = arrays(images=40)
    both = with_sets(content)
    plain = scores_of(save(tmp_path / "plain.npz", content))
    path = save(tmp_path / "sets.npz", both)
    said = compared(read_signals(path))
    for name, form in said.forms.items():
        np.testing.assert_array_equal(form.scores[:40], plain[name])
        sizes = {k: len(v) for k, v in form.groups.items() if k not in ("members", "original")}
        online = Need.IN_MODELS in COMPARED[name].needs
        assert sizes == ({} if online else {"fake": 20, "digits": 15}), name
    fakes = content | {"logits": both["logits"][:, 40:60], "labels": both["labels"][40:60]}
    # Held-out images have two of the four OUT models; so have these, drawn for each image.
    log_p = np.take_along_axis(
        log_softmax(fakes["logits"].astype(float), axis=-1), fakes["labels"][None, :, None], -1
    )[..., 0]
    two = np.stack([log_p[0] - log_p[list(p)].mean(0) for p in combinations(range(2, 6), 2)])
    found = np.isclose(two, said.forms["difficulty"].scores[40:60])
    assert (found.sum(axis=0) == 1).all() and len(np.unique(found.argmax(axis=0))) > 3
    told = audit(path, ["loss"], tmp_path / "out", resamples=100)
    entry = json.loads((tmp_path / "out" / "metrics.json").read_text())["attacks"]["loss"]
    own, fake = plain["loss"], said.forms["loss"].scores[40:60]
    by_hand = rate_by_hand(own, content["member"][0], fake, 0.05, own)
    assert entry["fpr_at_5pct"]["fake"]["fpr"] == pytest.approx(by_hand)
    assert f"{by_hand:.3f} [" in told and "5% FPR on held-out images" in told
    rows = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert len(rows) == 75 and not rows["member"][40:].any()


def test_a_further_set_without_out_models_has_no_score_and_that_is_told(tmp_path: Path) -> None:
    content = with_sets(arrays())
    content["member"][1:, 40:60] = True
    content["member"][1:, 60] = True
    path = save(tmp_path / "sets.npz", content)
    told = audit(path, ["difficulty", "loss"], tmp_path / "out", resamples=20)
    assert "of further sets: difficulty fake 20, difficulty digits 1.\n" in told
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["attacks"]
    assert list(found["difficulty"]["fpr_at_5pct"]) == ["original", "digits"]
    assert list(found["loss"]["fpr_at_5pct"]) == ["original", "fake", "digits"]
    assert len(pd.read_parquet(tmp_path / "out" / "scores.parquet")) == 75 + 40 + 14


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["fake"] * 75, "has no rows of members or original"),
        (["members"] * 30 + ["fake"] * 10 + ["original"] * 35, "members are in two places"),
        (["members"] * 74, r"set is <U7 \[74\]; allowed: text \[75\]"),
        ([""] * 75, "row 0 is empty"),
        (["members"] * 74 + ["\ud800"], "is no text in Unicode"),
    ],
)
def test_sets_that_are_none_are_named(names: list[Any], told: str, tmp_path: Path) -> None:
    content = with_sets(arrays()) | {"set": np.asarray(names)}
    with pytest.raises(UserError, match=told):
        read_signals(save(tmp_path / "signals.npz", content))


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


@pytest.mark.parametrize(("images", "seed"), [(200, 0), *((24, seed) for seed in range(12))])
def test_tuned_a_is_the_smallest_of_the_best_against_a_reference_model(
    images: int, seed: int, tmp_path: Path
) -> None:
    content = arrays(models=8, images=images, seed=seed)
    signals = read_signals(save(tmp_path / "signals.npz", content))
    found = rmia.tuned(rmia.Settings(a="tune"), signals, 0).a
    # Model 1 is the target's complement; model 2 plays the target, and 3 is its complement.
    own = content["member"][0]
    content = {k: v if "labels" in k else v[1:] for k, v in content.items()}
    seen = read_signals(save(tmp_path / "own.npz", content))
    member = content["member"][1]

    def area(a: float) -> Fraction:
        said = compared(seen, ["rmia"], 1, rmia={"a": a})
        ranking = said.forms["rmia_offline"].ranking
        return sum((exact_area(ranking[k], member[k]) for k in (own, ~own)), Fraction())

    assert found == max(TUNED_A, key=area)


def test_areas_are_exact_so_that_rounding_chooses_nothing() -> None:
    ranking = np.array([3.0, 1.0, 1.0, 0.0, 2.0])
    member = np.array([True, True, False, False, False])
    assert rmia._area(ranking, member) == exact_area(ranking, member) == Fraction(3, 4)
    assert rmia._area(ranking[1:], member[1:]) == Fraction(1, 2)
    assert rmia._area(ranking[:4:3], np.array([True, True])) == 0
    three = rmia._area(np.arange(4.0), np.array([False, True, False, False]))
    assert three + three == Fraction(2, 3)


def exact_area(ranking: Floats, member: npt.NDArray[np.bool_]) -> Fraction:
    """Return the AUROC by counting pairs."""
    apart = ranking[member][:, None] - ranking[~member]
    return Fraction(int(2 * (apart > 0).sum() + (apart == 0).sum()), 2 * apart.size)


@pytest.mark.parametrize("design", [pairs, halves])
def test_a_is_tuned_on_what_says_nothing_of_the_target(design: Says) -> None:
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        content = null_signals(rng, design(rng, 4, 120))
        for a in ("tune", 0.3):
            said = compared(content, ["rmia"], rmia={"a": a})
            found.append(area_of(said, "rmia_offline"))
    by_reference, fixed = np.reshape(found, (-1, 2)).T
    assert abs(z_of(by_reference - fixed)) < 3


def test_a_that_cannot_be_tuned_is_told(tmp_path: Path) -> None:
    content = arrays(models=2)
    with pytest.raises(UserError, match="two others"):
        compared(read_signals(save(tmp_path / "few.npz", content)), ["rmia"], rmia={"a": "tune"})


def without(name: str) -> Callable[[Arrays], None]:
    def spoil(content: Arrays) -> None:
        del content[name]

    return spoil


def changed(name: str, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Any:
    def spoil(content: Arrays) -> None:
        content[name] = change(content[name].copy())

    return spoil


def put(index: tuple[int, ...], value: float) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    def change(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        array[index] = value
        return array

    return change


def with_both(content: Arrays) -> None:
    content["scores"] = content["logits"]


def all_members(content: Arrays) -> None:
    content["member"][0] = True
    content["member"][1] = False


def member_of_a_further_set(content: Arrays) -> None:
    content["set"] = np.repeat(np.asarray(["members", "zebra"]), (30, 10))
    content["member"][0, 30:] = False
    content["member"][0, 33] = True


MALFORMED: dict[str, tuple[Callable[[Arrays], None], str]] = {
    "no logits": (without("logits"), "no logits and no scores; allowed: one of"),
    "both": (with_both, "has logits and scores; allowed: one of"),
    "no member": (without("member"), "lacks member"),
    "no labels": (without("labels"), "lacks labels"),
    "no population labels": (without("population_labels"), "lacks population_labels"),
    "flat": (changed("logits", lambda a: a[0]), r"logits is float32 \[40, 4\]; allowed: float"),
    "whole numbers": (changed("logits", lambda a: a.astype(int)), "logits is int64"),
    "one class": (changed("logits", lambda a: a[..., :1]), r"logits is float32 \[6, 40, 1\]"),
    "few labels": (changed("labels", lambda a: a[:-1]), r"labels is int64 \[39\]; allowed: .*\[40"),
    "label outside": (changed("labels", put((7,), 4)), "labels: image 7 has 4; allowed: 0 to 3"),
    "label below": (changed("labels", put((7,), -1)), "labels: image 7 has -1; allowed: 0 to 3"),
    "member turned": (changed("member", lambda a: a.T), r"member is bool \[40, 6\]; allowed"),
    "member of 2": (changed("member", lambda a: 2 * a), "other numbers than 0 and 1"),
    "member of text": (changed("member", lambda a: a.astype(str)), "member is <U5"),
    "NaN": (changed("logits", put((2, 9, 1), np.nan)), "logits: model 2, image 9 has nan"),
    "too large": (
        changed("logits", lambda a: 1e150 * a.astype(float)),
        "logits: model 0, image 0 has .*e.1[0-9]*; allowed: finite numbers, of a size below 1e.100",
    ),
    "infinite": (
        changed("population_logits", put((1, 3, 0), np.inf)),
        "population_logits: model 1, image 3 has inf",
    ),
    "other models": (
        changed("population_logits", lambda a: a[1:]),
        r"population_logits is \[5,",
    ),
    "nothing to rank": (all_members, "model 0 was trained on all images or on none"),
    "no population": (
        changed("population_logits", lambda a: a[:, :0]),
        r"population_logits is \[6, 0, 4\]; allowed: .* at least one",
    ),
    "member of another set": (
        member_of_a_further_set,
        "image 33 is of set zebra, but model 0 was trained on it",
    ),
    "one model": (
        lambda c: c.update({k: c[k][:1] for k in ("logits", "member", "population_logits")}),
        "one model is no audit",
    ),
}


@pytest.mark.parametrize(("spoil", "told"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_signals_are_named_and_nothing_is_written(
    spoil: Callable[[Arrays], None], told: str, tmp_path: Path
) -> None:
    content = arrays()
    spoil(content)
    path = save(tmp_path / "signals.npz", content)
    with pytest.raises(UserError, match=told):
        audit(path, COMPARING, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scores_that_are_none_are_named(tmp_path: Path) -> None:
    content = arrays()
    logits = {name.replace("logits", "scores"): array for name, array in content.items()}
    with pytest.raises(UserError, match=r"images 0 to 39: .* leave \[0, 1\]; are they logits"):
        scores_of(save(tmp_path / "signals.npz", logits))
    doubled = binary(constant(0.5), 6, 40, halves)
    doubled["scores"][2, 7] *= 2
    with pytest.raises(UserError, match=r"some scores sum to 2\.0; allowed: 1 ± .* divide"):
        scores_of(save(tmp_path / "signals.npz", doubled))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: None, "no such file or folder"),
        (lambda p: p.write_bytes(b"no archive"), "not a readable NPZ"),
        (lambda p: p.mkdir(), "in no known form; allowed: member.npy with"),
        (lambda p: np.savez(p.open("wb"), logits=np.asarray([{}])), "logits holds Python objects"),
    ],
)
def test_path_without_signals_is_named(
    make: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    make(tmp_path / "signals")
    with pytest.raises(UserError, match=told):
        read_signals(tmp_path / "signals")


def test_published_lira_folders_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = lira_folder(tmp_path / "lira", arrays(), "logits")
    (folder / "labels.npy").unlink()
    with pytest.raises(UserError, match=r"logits need labels: save them as .*labels\.npy"):
        read_signals(folder)
    (folder / "1" / "keep.npy").write_text("no array")
    with pytest.raises(
        UserError, match=r"1/keep\.npy: not an array of numbers or text \(text, a pi"
    ):
        read_signals(folder)
    np.save(folder / "1" / "keep.npy", np.ones(40, bool))
    np.save(folder / "2" / "scores.npy", np.ones((40, 1)))
    with pytest.raises(
        UserError, match=r"0/scores\.npy: no such file; allowed: keep\.npy and scores\.npy in"
    ):
        read_signals(folder)
    (folder / "2" / "scores.npy").unlink()
    np.save(folder / "2" / "keep.npy", np.ones(7, bool))
    with pytest.raises(UserError, match=r"2/keep\.npy is \[7\]; allowed: \[40\]"):
        read_signals(folder)
    np.save(folder / "1" / "logits.npy", np.ones((7, 1, 4)))
    with pytest.raises(UserError, match=r"1/logits\.npy is \[7, 1, 4\], but the first model's"):
        read_signals(folder)


def test_models_of_the_published_lira_code_are_in_the_order_of_their_numbers(
    tmp_path: Path,
) -> None:
    content = arrays(models=12)
    signals = read_signals(lira_folder(tmp_path / "lira", content, "scores"))
    assert np.array_equal(signals.member, content["member"])


@pytest.mark.parametrize("name", ["experiment-{}_12", "exp{}", "model_{:03d}", "a{}-7b", "{}x"])
def test_models_are_in_the_order_of_the_numbers_in_their_names(name: str, tmp_path: Path) -> None:
    content = arrays(models=12)
    path = lira_folder(tmp_path / "lira", content, "logits")
    for model in range(12):
        (path / str(model)).rename(path / f"{name.format(model)}.moved")
    for folder in path.glob("*.moved"):
        folder.rename(folder.with_suffix(""))
    assert np.array_equal(read_signals(path).member, content["member"])
    audited = f"{path}/{name.format(2)}"
    told = audit(path, ["loss"], tmp_path / "out", 2)
    assert told.startswith(f"Audited: {audited}, model 2 of 0 to 11 in {path}/*/logits.npy\n")
    metrics = files.read_json(tmp_path / "out" / "metrics.json")
    assert metrics["target"] == audited and metrics["signals"] == f"{path}/*/logits.npy"


def test_what_was_audited_is_named(tmp_path: Path) -> None:
    content = arrays(models=12)
    npz, meter = save(tmp_path / "signals.npz", content), tmp_path / "meter"
    privacy_meter_folder(meter, content)
    for path, source, target in (
        (npz, npz, "row 10 of logits"),
        (meter, meter / "signals" / "rmia_signals.npy", "column 10"),
    ):
        out = tmp_path / f"out of {path.name}"
        told = audit(path, ["loss"], out, 10)
        assert f"Audited: {target}, model 10 of 0 to 11 in {source}\n" in told
        metrics = files.read_json(out / "metrics.json")
        assert (metrics["signals"], metrics["target"]) == (str(source), target)


def test_privacy_meters_probabilities_go_before_its_losses_and_others_are_told(
    tmp_path: Path,
) -> None:
    content = arrays()
    path = privacy_meter_folder(tmp_path / "meter", content)
    alone = scores_of(path)
    privacy_meter_folder(path, content, "loss")
    np.save(path / "signals" / "rmia_ramia_signals.npy", np.ones((400, 6)))
    assert {k: v.tolist() for k, v in scores_of(path).items()} == {
        k: v.tolist() for k, v in alone.items()
    }
    told = audit(path, ["loss"], tmp_path / "out")
    unread = [f"{path}/signals/{name}_signals.npy" for name in ("loss", "rmia_ramia")]
    assert f"Not read: {', '.join(unread)}.\n" in told


def test_what_may_be_losses_or_probabilities_is_refused(tmp_path: Path) -> None:
    path = privacy_meter_folder(tmp_path / "meter", arrays())
    signals = path / "signals"
    for suffix in ("", "_pop"):
        (signals / f"rmia_signals{suffix}.npy").rename(signals / f"loss_signals{suffix}.npy")
    with pytest.raises(UserError, match=r"loss_signals\.npy: all are in \[0, 1\], .*; save prob"):
        read_signals(path)
    # One loss above 1 tells, be it of the population.
    np.save(signals / "loss_signals_pop.npy", np.full((9, 6), 1.5))
    assert read_signals(path).source.endswith("loss_signals.npy")


def test_losses_of_0_are_certain_and_keep_their_order(tmp_path: Path) -> None:
    path = privacy_meter_folder(tmp_path / "meter", arrays(), "loss")
    file = path / "signals" / "loss_signals.npy"
    (path / "signals" / "loss_signals_pop.npy").unlink()
    losses = np.load(file).astype(np.float32)
    losses[:4] = [[0], [1e-20], [1e-7], [1000]]
    np.save(file, losses)
    phi = read_signals(path).images.confidences(slice(0, 4))[0, :, 0]
    np.testing.assert_allclose(phi[1:], [-np.log(1e-20), -np.log(1e-7), -1000], rtol=1e-6)
    assert phi[1] < phi[0] < 50
    losses[1] = 1e-3
    np.save(file, losses)
    phi = read_signals(path).images.confidences(slice(0, 4))[0, :, 0]
    # As a probability of this type that was rounded to 1.
    assert phi[0] == pytest.approx(confidence.from_probability(np.ones(1, np.float32))[0])
    losses[2, 3] = -0.1
    np.save(file, losses)
    with pytest.raises(UserError, match=r"loss_signals\.npy: images 0 to 39: some are below 0"):
        scores_of(path)


def test_privacy_meter_folders_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = privacy_meter_folder(tmp_path / "meter", arrays())
    np.save(folder / "signals" / "rmia_signals_pop.npy", np.ones((9, 2)))
    with pytest.raises(UserError, match=r"rmia_signals_pop\.npy is \[9, 2\]; allowed: \[images, 6"):
        read_signals(folder)
    np.save(folder / "memberships.npy", np.ones((40, 6), bool))
    with pytest.raises(UserError, match=r"memberships\.npy \[40, 6\]; allowed: \[images, models\]"):
        read_signals(folder)
    np.save(folder / "signals" / "rmia_signals.npy", np.ones((40, 6), int))
    with pytest.raises(UserError, match=r"rmia_signals\.npy is int64 \[40, 6\]; allowed: float"):
        read_signals(folder)
    (folder / "signals" / "rmia_signals.npy").rename(folder / "signals" / "my_signals.npy")
    with pytest.raises(UserError, match=r"has my_signals\.npy; allowed: rmia_signals\.npy \(the"):
        read_signals(folder)
    privacy_meter_folder(folder, arrays())
    losses = privacy_meter_folder(tmp_path / "losses", arrays(), "loss") / "signals"
    (losses / "loss_signals.npy").rename(folder / "signals" / "rmia_signals.npy")
    with pytest.raises(UserError, match=r"outside \[0, 1\]; .* losses as loss_signals\.npy"):
        scores_of(folder)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--target-index", "6"], "--target-index: got 6; allowed: 0 to 5"),
        (["--target-index", "-1"], "--target-index: got -1; allowed: 0 to 5"),
        (["--attacks", "salem"], "--attacks: none is possible: salem (no shadow model)"),
        (["--attacks", "lyra"], "--attacks: 'lyra' is unknown; allowed: threshold, entropy, sal"),
        (["--attacks", "lira,lira"], "named twice"),
        (["--attacks", ","], "none is named"),
        (["-S", "rmia.a=2"], "-S rmia.a: got 2; allowed: 'tune' or 0 to 1"),
        (["-S", "rmia.gamma=0"], "-S rmia.gamma: got 0; allowed: above 0 to 1000000"),
        (["-S", "rmia.b=0"], "-S rmia.b: unknown key; allowed: a, gamma"),
        (["-S", "lyra.a=0"], "-S lyra.a: lyra is no attack; allowed: settings of lira, rmia"),
        (["-S", "loss.a=0"], "-S loss.a: unknown key; allowed: none"),
        (["-S", "lira.variance=own"], "got 'own'; allowed: 'per_example', 'global', 'auto' or"),
        (["-S", "salem.k=3"], "-S salem.k: salem is not to run; allowed: settings of lira, rmia"),
        (["-S", "rmia.a"], "-S: got 'rmia.a'; allowed: NAME.KEY=VALUE, e.g. salem.k=5"),
        (["-S", "rmia.a=[1"], "-S rmia.a: got '[1', which is no YAML: "),
        (["--resamples", "-1"], "--resamples: got -1"),
        (["--seed", "-1"], "--seed: got -1"),
        (["--target", "x.npz"], "give --shadow and --target, or --signals alone"),
        (["--out", ""], "--out: got nothing; allowed: a folder"),
    ],
)
def test_impossible_options_are_named_in_one_line(
    options: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from trustmia import cli

    path = save(tmp_path / "signals.npz", arrays())
    command = ["audit", "--signals", str(path), "--out", str(tmp_path / "out"), *options]
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and told in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_one_run_takes_scores_and_signals_and_says_what_it_left_out(tmp_path: Path) -> None:
    content = arrays(models=8)
    models = read_signals(save(tmp_path / "signals.npz", content))
    target, shadow = (
        ScoreSet(
            softmax(content["logits"][model], axis=-1),
            content["labels"],
            content["member"][model],
            ("members", "original"),
            np.where(content["member"][model], 0, 1).astype(np.int32),
        )
        for model in (0, 2)
    )
    names = ["loss", "threshold", "rmia"]
    said = attack(Signals(target, shadow, models), names, {"rmia": {"a": 0.5}})
    assert list(said.forms) == ["loss", "threshold", "rmia_online", "rmia_offline"]
    assert not said.left_out and said.comparison is not None
    decided = {name for name, form in said.forms.items() if form.decisions is not None}
    assert decided == {"threshold"}
    assert said.forms["rmia_offline"].learned == {"rmia_a": 0.5}
    for form in said.forms.values():
        assert np.array_equal(form.groups["members"], np.flatnonzero(content["member"][0]))
        assert np.array_equal(form.groups["original"], np.flatnonzero(~content["member"][0]))
    alone = attack(Signals(models=models), names)
    assert alone.left_out == {"threshold": "no shadow model"}
    alone = attack(Signals(target, shadow), names)
    reason = "no signals of many models"
    assert alone.left_out == {"loss": reason, "rmia": reason} and alone.comparison is None
    with pytest.raises(Refused, match="none is possible: loss") as refused:
        attack(Signals(target, shadow), ["loss"])
    assert refused.value.key == "methods"


def test_attacks_that_the_signals_do_not_allow_are_left_out_and_told(tmp_path: Path) -> None:
    content = arrays()
    del content["population_logits"], content["population_labels"]
    content["member"][1:, 3] = False
    path = save(tmp_path / "signals.npz", content)
    told = audit(path, COMPARING, tmp_path / "out")
    assert "No reference models: 1. Trained on the target's images, or on all others" in told
    assert "Without a score, as they lack reference models, of 40 audited images" in told
    assert ": lira_online 1, lira_online_global_variance 1.\n" in told
    assert "rmia_offline (no population images)" in told
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["models_left_out"] == [1]
    # Image 3 has 4 OUT models, the others have 2.
    assert found["models_per_side"] == {"in": 1.95, "out": 2}
    unscored = {name: entry["num_unscored"] for name, entry in found["attacks"].items()}
    assert unscored == {name: int("online" in name) for name in (*LIRA, "loss", "difficulty")}
    rows = pd.read_parquet(tmp_path / "out" / "scores.parquet").groupby("attack", observed=True)
    assert rows["score"].size().to_dict() == {k: 40 - v for k, v in unscored.items()}
    content["member"][1:] = True
    told = audit(save(path, content), COMPARING, tmp_path / "third")
    assert "lira_offline_global_variance (40 images have fewer than 1 models not trained" in told
    found = json.loads((tmp_path / "third" / "metrics.json").read_text())["attacks"]
    assert list(found) == ["loss"]
    with pytest.raises(UserError, match="--attacks: none is possible: rmia_online"):
        audit(path, ["rmia"], tmp_path / "other")


@pytest.mark.parametrize("kind", ["logits", "scores"])
@pytest.mark.parametrize("classes", [3, 7, 10])
def test_the_same_numbers_in_another_order_of_the_classes_tie(kind: str, classes: int) -> None:
    rng = np.random.default_rng(classes)
    convert = CONVERSIONS[kind]
    for _ in range(20):
        row = rng.normal(size=classes) if kind == "logits" else rng.dirichlet(np.ones(classes))
        others = np.stack([rng.permutation(row[1:]) for _ in range(30)])
        block = np.insert(others, 0, row[0], axis=1)[:, None]
        assert len(np.unique(convert(block, np.zeros(30, np.int64)))) == 1


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_probability_of_exactly_one_or_zero_is_a_finite_confidence(kind: type) -> None:
    found = confidence.from_probability(np.array([0, 0.5, 1], dtype=kind))
    assert np.isfinite(found).all() and found[0] < found[1] == 0 < found[2]


@pytest.mark.parametrize("shape", [(40,), (40, 3)])
def test_probabilities_are_not_taken_for_confidences(tmp_path: Path, shape: tuple[int]) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        folder = tmp_path / f"experiment-{number}_4"
        folder.mkdir()
        np.save(folder / "keep.npy", rng.integers(2, size=40).astype(bool))
        np.save(folder / "scores.npy", rng.uniform(size=shape))
    with pytest.raises(UserError, match=r"all are in \[0, 1\], as probabilities are; allowed"):
        read_signals(tmp_path)


def test_a_model_without_keep_is_named(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        np.save(tmp_path / str(number) / "scores.npy", np.linspace(-3, 3, 40))
        if number != 1:
            np.save(tmp_path / str(number) / "keep.npy", np.arange(40) < 20)
    with pytest.raises(UserError, match=r"1/keep\.npy: no such file"):
        read_signals(tmp_path)


def test_a_population_of_the_other_kind_is_told(tmp_path: Path) -> None:
    content = {k: v for k, v in arrays().items() if not k.startswith("population")}
    content["population_scores"] = np.zeros((1, 1, 1))
    with pytest.raises(UserError, match="has logits and population_scores; allowed: both"):
        read_signals(save(tmp_path / "signals.npz", content))


def test_whole_floats_are_labels_and_membership(tmp_path: Path) -> None:
    content = arrays()
    plain = read_signals(save(tmp_path / "plain.npz", content))
    floats = {key: content[key].astype(np.float32) for key in ("member", "labels")}
    found = read_signals(save(tmp_path / "floats.npz", content | floats))
    assert (found.member == plain.member).all()
    assert (found.images.labels == plain.images.labels).all()


def test_scores_beyond_one_are_no_probabilities(tmp_path: Path) -> None:
    content = {k: v for k, v in arrays().items() if not k.startswith("population")}
    logits = content.pop("logits")
    content["scores"] = np.broadcast_to(np.eye(logits.shape[-1])[0] * 2.3, logits.shape).copy()
    signals = read_signals(save(tmp_path / "signals.npz", content))
    with pytest.raises(UserError, match=r"leave \[0, 1\]; are they logits"):
        compared(signals, ["loss"])


def test_scores_that_cannot_be_ranked_are_refused(tmp_path: Path) -> None:
    def nothing(*inputs: object) -> Floats:
        return np.full(40, np.nan)

    broken = replace(COMPARED["loss"], score=nothing)
    models = read_signals(save(tmp_path / "signals.npz", arrays()))
    with pytest.raises(UserError, match="loss: 40 images have a score of nan"):
        broken.scores(compare(models, 0), ATTACKS["loss"].settings())
