"""Confidences, whatever they are computed from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from tests.signals.many_models import arrays
from trustmia.signals import confidence
from trustmia.signals.many_models import CONVERSIONS
from trustmia.signals.summaries import in_order, median_of


def test_confidence_is_the_same_from_logits_scores_and_probability() -> None:
    content = arrays(views=2)
    logits, labels = content["logits"].astype(np.float64), content["labels"]
    from_logits = confidence.from_logits(logits, labels)
    scores = softmax(logits, axis=-1)
    np.testing.assert_allclose(confidence.from_scores(scores, labels), from_logits, rtol=1e-9)
    own = labels[None, :, None, None]
    true = np.take_along_axis(scores, own, axis=-1)[..., 0]
    np.testing.assert_allclose(confidence.from_probability(true), from_logits, rtol=1e-6)
    np.testing.assert_allclose(confidence.probability(from_logits), true)
    expected = np.take_along_axis(log_softmax(logits, axis=-1), own, axis=-1)[..., 0]
    np.testing.assert_allclose(confidence.log_probability(from_logits), expected)


def test_confidence_of_saturated_models_is_finite_and_keeps_its_order() -> None:
    logits = np.zeros((1, 5, 1, 2), np.float32)
    logits[0, :, 0, 0] = [0, 50, 500, 5000, -5000]
    found = confidence.from_logits(logits, np.zeros(5, np.int64)).ravel()
    assert found.tolist() == [0, 50, 500, 5000, -5000]
    saturated = np.eye(2, dtype=np.float32).reshape(1, 2, 1, 2)
    assert np.isfinite(confidence.from_scores(saturated, np.zeros(2, np.int64))).all()


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
