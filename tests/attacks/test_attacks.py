"""Each attack against a slow twin, on arrays alone."""

from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from tests.attacks.attacking import LEARNED, fit
from tests.helpers import REFERENCE
from trustmia.attacks.base import Refused
from trustmia.attacks.entropy import below, best_theta, entropy
from trustmia.attacks.logits import log_entropy, log_odds, probabilities
from trustmia.attacks.salem import MINIMUM_GAIN, WINDOW, Patience
from trustmia.attacks.threshold import above

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
entropies = st.lists(
    st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 2.25, width=32)),
    min_size=1,
    max_size=12,
).map(lambda values: float32(values))
maxima = st.lists(
    st.tuples(st.sampled_from([0.5, 0.6, 0.75, 0.9, 1.0]), st.booleans()), min_size=2, max_size=40
).filter(lambda rows: len({member for _, member in rows}) == 2)


def float32(values: npt.ArrayLike) -> Float32:
    return np.asarray(values, dtype=np.float32)


def two_classes(maximum: npt.ArrayLike) -> Float32:
    largest = float32(maximum)
    return np.stack([largest, 1 - largest], axis=1)


def confident_members(rows: int = 200, classes: int = 5) -> tuple[Float32, Bool]:
    rng = np.random.default_rng(0)
    member = np.arange(rows) % 2 == 0
    logits = rng.normal(size=(rows, classes))
    logits[:, 0] += np.where(member, 5, 1)
    return torch.from_numpy(logits).softmax(1).float().numpy(), member


@settings(deadline=None, max_examples=60)
@given(entropies, entropies)
def test_best_theta_is_the_first_best_of_all_candidates(
    members: Float32, nonmembers: Float32
) -> None:
    everything = np.concatenate([members, nonmembers])
    best, best_correct = float("nan"), -1
    for theta in np.linspace(everything.min(), everything.max(), 10_000, dtype=np.float64):
        correct = int((members < theta).sum() + (nonmembers >= theta).sum())
        if correct > best_correct:
            best, best_correct = float(theta), correct
    assert best_theta(members, nonmembers) == best


def test_best_theta_separates_what_can_be_separated() -> None:
    theta = best_theta(float32([0.1, 0.2]), float32([0.6, 0.9]))
    assert 0.2 < theta <= 0.6


def test_entropy_is_in_nats_and_finite_at_certainty() -> None:
    scores = float32([[0.25] * 4, [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    assert entropy(scores) == pytest.approx([np.log(4), 0, np.log(2)], abs=1e-5)


def test_entropy_calls_only_what_is_below_theta_a_member() -> None:
    attack = below(0.5)
    assert attack.decide(float32([-0.49, -0.5, -0.51])).tolist() == [True, False, False]


@settings(deadline=None)
@given(maxima)
def test_threshold_is_the_best_point_of_the_roc_curve(rows: list[tuple[float, bool]]) -> None:
    largest, member = (np.asarray(column) for column in zip(*rows))
    scores = two_classes(largest)
    fpr, tpr, thresholds = roc_curve(member, scores.max(axis=1))
    fitted = fit("threshold", scores, member)
    best = thresholds[np.argmax(tpr - fpr)]
    above = scores.max(axis=1) > best
    kept = above[member].mean() - above[~member].mean()
    if kept < (tpr - fpr).max() / 2:
        best = np.nextafter(np.float32(best), np.float32(0))
    assert bool(fitted.notes) == (kept < (tpr - fpr).max() / 2)
    assert fitted.learned == {"threshold": best if np.isfinite(best) else None}


@pytest.mark.parametrize("largest", [[1.0, 1.0, 1.0, 1.0], [0.6, 0.7, 0.9, 0.8]])
def test_threshold_calls_nobody_a_member_where_no_score_tells_members(largest: list[float]) -> None:
    member = np.array([True, True, False, False])
    fitted = fit("threshold", two_classes(largest), member)
    assert fitted.learned == {"threshold": None}
    assert not fitted.decide(fitted.score(two_classes([0.5, 0.9, 1.0]))).any()


def test_threshold_calls_only_what_is_strictly_above_a_member() -> None:
    next_up = np.nextafter(np.float32(0.7), np.float32(1))
    attack = above(float(np.float32(0.7)))
    assert attack.decide(float32([next_up, 0.7, 0.6])).tolist() == [True, False, False]


ROUNDED: dict[str, tuple[list[float], list[float]]] = {
    "saturated": ([1.0] * 6 + [0.7] * 4, [1.0] * 2 + [0.7] * 8),
    "two digits": ([0.99] * 7 + [0.6] * 3, [0.99] * 3 + [0.6] * 7),
    "one above": ([1.0] + [0.999] * 8 + [0.5], [0.999] * 3 + [0.5] * 7),
    "one member": ([0.9], [0.6, 0.7]),
}


@pytest.mark.parametrize("case", ROUNDED)
def test_scores_that_tie_at_the_threshold_are_members_and_it_is_said(case: str) -> None:
    members, others = ROUNDED[case]
    scores = two_classes(members + others)
    member = np.arange(len(scores)) < len(members)
    fitted = fit("threshold", scores, member)
    called = fitted.decide(fitted.score(scores))
    fpr, tpr, _ = roc_curve(member, scores.max(axis=1))
    assert called[member].mean() - called[~member].mean() == pytest.approx((tpr - fpr).max())
    assert "scores that equal it are called members" in fitted.notes[0]


def test_one_score_at_the_threshold_is_no_tie() -> None:
    scores, member = confident_members()
    fitted = fit("threshold", scores, member)
    assert fitted.notes == ()
    assert fitted.learned["threshold"] in scores[member].max(axis=1)


def test_threshold_scores_are_the_maxima() -> None:
    attack = above(0.5)
    assert attack.score(two_classes([0.9, 0.3])) == pytest.approx([0.9, 0.7])


@pytest.mark.parametrize("name", LEARNED)
def test_a_higher_score_speaks_for_a_member_and_decisions_follow_it(name: str) -> None:
    scores, member = confident_members()
    fitted = fit(name, scores, member, 42, **({"max_epochs": 30} if name == "salem" else {}))
    attack_scores = fitted.score(scores)
    called = fitted.decide(attack_scores)
    assert attack_scores.dtype == np.float32
    assert attack_scores[member].mean() > attack_scores[~member].mean()
    assert attack_scores[called].min() > attack_scores[~called].max()
    assert (called == member).mean() > 0.9


@pytest.mark.parametrize("name", LEARNED)
def test_order_of_classes_does_not_matter(name: str) -> None:
    scores, member = confident_members()
    fitted = fit(name, scores, member)
    mirrored = np.ascontiguousarray(scores[:, ::-1])
    assert fitted.score(mirrored) == pytest.approx(fitted.score(scores), abs=1e-6)


def test_salem_gives_the_same_scores_for_the_same_seed_alone() -> None:
    scores, member = confident_members()
    first, second = (fit("salem", scores, member).score(scores) for _ in range(2))
    other = fit("salem", scores, member, seed=2).score(scores)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_salem_leaves_the_global_generator_alone() -> None:
    scores, member = confident_members()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit("salem", scores, member)
    assert torch.equal(torch.rand(3), expected)


def test_salem_calls_a_sigmoid_of_one_half_a_member() -> None:
    scores, member = confident_members()
    fitted = fit("salem", scores, member)
    assert fitted.decide(float32([0.5, 0.499])).tolist() == [True, False]
    assert fitted.score(scores).min() >= 0
    assert fitted.score(scores).max() <= 1


def test_salem_sees_the_k_largest_scores_only() -> None:
    scores, member = confident_members()
    fitted = fit("salem", scores, member, k=1)
    spread = float32([[0.6, 0.4, 0, 0, 0], [0.6, 0.1, 0.1, 0.1, 0.1]])
    assert len(set(fitted.score(spread).tolist())) == 1


def test_salem_refuses_more_scores_than_classes() -> None:
    scores, member = confident_members(classes=5)
    with pytest.raises(Refused, match=r"^salem\.k: got 6; allowed: 1 to 5, the number of classes"):
        fit("salem", scores, member, k=6)


def test_salem_sees_fewer_scores_by_default_of_fewer_classes_and_says_so() -> None:
    scores, member = confident_members(classes=2)
    fitted = fit("salem", scores, member)
    assert fitted.learned == {"salem_k": 2}
    assert fitted.notes == (
        "Salem Attack: the 2 largest scores (salem.k), as there are 2 classes.",
    )
    assert fit("salem", scores, member, k=2).notes == ()


def epochs_until_over(losses: npt.ArrayLike) -> int | None:
    patience = Patience()
    curve = np.asarray(losses, dtype=np.float64)
    return next((n for n, loss in enumerate(curve, start=1) if patience.is_over(loss)), None)


def test_training_ends_where_the_published_code_ends_it() -> None:
    with np.load(REFERENCE / "early_stopping.npz") as curves:
        found = [epochs_until_over(curve) or -1 for curve in curves["curves"]]
        assert found == curves["stop_after_epoch"].tolist() != []


def test_patience_ends_one_window_after_the_last_real_gain() -> None:
    assert epochs_until_over([0.7] * 100) == WINDOW + 1
    assert epochs_until_over([0.9, 0.8, 0.7] + [0.75] * 100) == 3 + WINDOW


@pytest.mark.parametrize("gain", [0.001, MINIMUM_GAIN / (WINDOW - 1)])
def test_patience_lasts_while_small_gains_add_up_within_a_window(gain: float) -> None:
    assert epochs_until_over([1 - gain * epoch for epoch in range(300)]) is None


def test_patience_ignores_gains_that_are_too_small() -> None:
    too_small = MINIMUM_GAIN / (2 * WINDOW)
    assert epochs_until_over([1 - too_small * epoch for epoch in range(300)]) == WINDOW + 1


def test_patience_waits_for_a_full_window_at_the_start() -> None:
    assert epochs_until_over([0.5] * WINDOW) is None


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("classes", [3, 5, 10])
def test_the_same_scores_tie_whatever_their_place(name: str, classes: int) -> None:
    scores, member = confident_members(classes=classes)
    fitted = fit(name, scores, member)
    rng = np.random.default_rng(classes)
    for row in rng.dirichlet(np.ones(classes), 20).astype(np.float32):
        same = np.stack([rng.permutation(row) for _ in range(30)])
        assert len(np.unique(fitted.score(same))) == 1


def test_salem_says_nothing_of_scores_that_are_all_the_same() -> None:
    scores, member = confident_members()
    fitted = fit("salem", np.tile(scores[:1], (len(member), 1)), member)
    assert set(fitted.score(scores)) == {np.float32(0.5)}


# Among them rows that saturate in float32, in float64, and whose other scores underflow.
LOGITS = float32([[0, 0, 0], [1, 2, 3], [20, 0, 1], [50, 0, 0], [0, 400, -9], [1000, 0, 7]])


@pytest.mark.parametrize("row", LOGITS)
def test_logits_give_log_odds_and_entropy_as_exact_arithmetic_does(row: Float32) -> None:
    with localcontext() as context:
        context.prec = 500
        below = [Decimal(float(z)) - Decimal(float(row.max())) for z in sorted(row)[:-1]]
        powers = [d.exp() for d in below]
        total = 1 + sum(powers, Decimal(0))
        entropy = total.ln() - sum((p * d for p, d in zip(powers, below)), Decimal(0)) / total
        expected = [float(-sum(powers, Decimal(0)).ln()), float(entropy.ln())]
    found = [log_odds(row[None])[0], log_entropy(row[None])[0]]
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_logits_that_are_as_far_apart_as_float32_reaches_have_finite_ranks() -> None:
    far = float32([[3e38, 0, 0], [3e38, -3e38, 1]])
    assert np.isfinite([log_odds(far), log_entropy(far)]).all()


def test_probabilities_are_the_sorted_softmax_in_float64() -> None:
    expected = torch.from_numpy(LOGITS).double().softmax(1).sort(dim=1).values.numpy()
    assert probabilities(LOGITS) == pytest.approx(expected, rel=1e-12)


def saturated(rows: int = 400) -> tuple[Float32, Float32, Bool]:
    """Return logits and scores of float32, most of them 1, and membership."""
    rng = np.random.default_rng(0)
    member = np.arange(rows) % 2 == 0
    logits = float32(rng.normal(size=(rows, 4)))
    logits[:, 0] += float32(rng.normal(np.where(member, 28, 22), 5))
    return logits, torch.from_numpy(logits).softmax(1).numpy(), member


@pytest.mark.parametrize("name", ["threshold", "entropy"])
def test_logits_rank_what_ties_in_float32(name: str) -> None:
    logits, scores, member = saturated()
    fitted = fit(name, scores, member)
    tied = scores.max(axis=1) == 1
    assert tied.mean() > 0.5
    ranks = fitted.rank(logits)
    assert ranks.dtype == np.float64 and np.isfinite(ranks).all()
    assert len(np.unique(ranks[tied])) == tied.sum() > len(np.unique(fitted.score(scores)[tied]))
    assert ranks[tied][np.argsort(log_odds(logits)[tied])][-1] == ranks[tied].max()


@pytest.mark.parametrize("name", LEARNED)
def test_ranks_agree_with_scores_that_do_not_tie(name: str) -> None:
    scores, member = confident_members()
    fitted = fit(name, scores, member)
    order = fitted.score(scores)[np.argsort(fitted.rank(np.log(scores)), kind="stable")]
    assert (np.diff(order) > -1e-6).all()


@pytest.mark.parametrize("name", LEARNED)
def test_the_same_logits_tie_whatever_their_place(name: str) -> None:
    scores, member = confident_members()
    fitted = fit(name, scores, member)
    rng = np.random.default_rng(1)
    rows = float32(rng.normal(0, 20, (20, 5)))
    same = np.concatenate([rng.permuted(rows, axis=1) for _ in range(30)])
    assert len(np.unique(fitted.rank(same))) == len(rows)


def test_salem_ranks_what_its_network_tells_apart_and_no_more() -> None:
    logits, scores, member = saturated()
    fitted = fit("salem", scores, member, seed=42)
    ranks = fitted.rank(logits)
    assert len(np.unique(ranks)) > len(np.unique(fitted.score(scores)))
    beyond = logits[log_odds(logits) > 25] * np.float32(2)
    assert len(beyond) > 100 and len(np.unique(fitted.rank(beyond))) == 1
