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
from trustmia.arrays import Bool, Float32
from trustmia.attacks.base import Refused
from trustmia.attacks.entropy import below, best_theta, entropy
from trustmia.attacks.logits import log_entropy, log_odds, probabilities
from trustmia.attacks.salem import MINIMUM_GAIN, WINDOW, Patience
from trustmia.attacks.threshold import above

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


SCORES, MEMBER = confident_members()


@settings(deadline=None, max_examples=60)
@given(entropies, entropies)
def test_best_theta_is_the_first_best_of_all_candidates(
    members: Float32, nonmembers: Float32
) -> None:
    everything = np.concatenate([members, nonmembers])
    thetas = np.linspace(everything.min(), everything.max(), 10_000, dtype=np.float64)
    correct = (members[:, None] < thetas).sum(axis=0) + (nonmembers[:, None] >= thetas).sum(axis=0)
    assert best_theta(members, nonmembers) == thetas[correct.argmax()]


def test_entropy_is_in_nats_and_finite_at_certainty() -> None:
    scores = float32([[0.25] * 4, [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    assert entropy(scores) == pytest.approx([np.log(4), 0, np.log(2)], abs=1e-5)


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
    fitted = fit("threshold", SCORES, MEMBER)
    assert fitted.notes == ()
    assert fitted.learned["threshold"] in SCORES[MEMBER].max(axis=1)


def test_what_equals_the_learned_number_is_no_member() -> None:
    number = np.float32(0.7)
    attack, next_up = above(float(number)), np.nextafter(number, np.float32(1))
    assert attack.score(two_classes([0.9, 0.3])) == pytest.approx([0.9, 0.7])
    assert attack.decide(float32([next_up, number, 0.6])).tolist() == [True, False, False]
    assert below(0.5).decide(float32([-0.49, -0.5, -0.51])).tolist() == [True, False, False]


@pytest.mark.parametrize("name", LEARNED)
def test_a_higher_score_speaks_for_a_member_and_decisions_follow_it(name: str) -> None:
    fitted = fit(name, SCORES, MEMBER, 42, **({"max_epochs": 30} if name == "salem" else {}))
    attack_scores = fitted.score(SCORES)
    called = fitted.decide(attack_scores)
    assert attack_scores.dtype == np.float32
    assert attack_scores[MEMBER].mean() > attack_scores[~MEMBER].mean()
    assert attack_scores[called].min() > attack_scores[~called].max()
    assert (called == MEMBER).mean() > 0.9


def test_salem_draws_from_its_seed_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = (fit("salem", SCORES, MEMBER, seed).score(SCORES) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_salem_calls_a_sigmoid_of_one_half_a_member() -> None:
    fitted = fit("salem", SCORES, MEMBER)
    assert fitted.decide(float32([0.5, 0.499])).tolist() == [True, False]
    assert 0 <= fitted.score(SCORES).min() <= fitted.score(SCORES).max() <= 1


def test_salem_sees_the_k_largest_scores_only() -> None:
    spread = float32([[0.6, 0.4, 0, 0, 0], [0.6, 0.1, 0.1, 0.1, 0.1]])
    assert len(set(fit("salem", SCORES, MEMBER, k=1).score(spread))) == 1


def test_salem_refuses_more_scores_than_classes() -> None:
    with pytest.raises(Refused, match=r"^salem\.k: got 6; allowed: 1 to 5, the number of classes"):
        fit("salem", SCORES, MEMBER, k=6)


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


EPOCHS = np.arange(300)


@pytest.mark.parametrize(
    ("losses", "end"),
    [
        ([0.5] * WINDOW, None),
        ([0.7] * 100, WINDOW + 1),
        ([0.9, 0.8, 0.7] + [0.75] * 100, 3 + WINDOW),
        # Small gains count where they add up within a window.
        (1 - 0.001 * EPOCHS, None),
        (1 - MINIMUM_GAIN / (WINDOW - 1) * EPOCHS, None),
        (1 - MINIMUM_GAIN / (2 * WINDOW) * EPOCHS, WINDOW + 1),
    ],
)
def test_patience_ends_one_window_after_the_last_real_gain(
    losses: npt.ArrayLike, end: int | None
) -> None:
    assert epochs_until_over(losses) == end


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("classes", [3, 5, 10])
def test_the_same_scores_or_logits_tie_whatever_their_place(name: str, classes: int) -> None:
    scores, member = confident_members(classes=classes)
    fitted = fit(name, scores, member)
    rng = np.random.default_rng(classes)
    for row in rng.dirichlet(np.ones(classes), 20).astype(np.float32):
        same = np.stack([rng.permutation(row) for _ in range(30)])
        assert len(np.unique(fitted.score(same))) == 1
    rows = float32(rng.normal(0, 20, (20, classes)))
    ranks = np.stack([fitted.rank(rng.permuted(rows, axis=1)) for _ in range(30)])
    assert (ranks == ranks[0]).all() and len(np.unique(ranks)) > 15


def test_salem_says_nothing_of_scores_that_are_all_the_same() -> None:
    fitted = fit("salem", np.tile(SCORES[:1], (len(MEMBER), 1)), MEMBER)
    assert set(fitted.score(SCORES)) == {np.float32(0.5)}


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
    fitted = fit(name, SCORES, MEMBER)
    order = fitted.score(SCORES)[np.argsort(fitted.rank(np.log(SCORES)), kind="stable")]
    assert (np.diff(order) > -1e-6).all()


def test_salem_ranks_what_its_network_tells_apart_and_no_more() -> None:
    logits, scores, member = saturated()
    fitted = fit("salem", scores, member, seed=42)
    ranks = fitted.rank(logits)
    assert len(np.unique(ranks)) > len(np.unique(fitted.score(scores)))
    beyond = logits[log_odds(logits) > 25] * np.float32(2)
    assert len(beyond) > 100 and len(np.unique(fitted.rank(beyond))) == 1
