"""Calibrations, and the numbers that tell how well they work."""

import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from trustmia import calibrated
from trustmia.calibration import METHODS, FitInputs
from trustmia.calibration.metrics import BINS, calibration_metrics, reliability_table
from trustmia.calibration.temperature import fit_temperature

Scores = npt.NDArray[np.float64]
first_scores = st.one_of(
    st.floats(0, 1, allow_subnormal=False),
    st.integers(0, BINS).map(lambda edge: edge / BINS),
)
judged = st.lists(st.tuples(first_scores, st.integers(0, 1)), min_size=1, max_size=60)


def two_classes(rows: list[tuple[float, int]]) -> tuple[Scores, npt.NDArray[np.int64]]:
    first, labels = (np.asarray(column) for column in zip(*rows))
    return np.stack([first, 1 - first], axis=1), labels.astype(np.int64)


def overconfident_inputs(temperature: float | Literal["fit"] = "fit") -> FitInputs:
    torch.manual_seed(0)
    centres = torch.randn(5, 8)
    labels = torch.arange(900) % 5
    features = centres[labels] + 1.5 * torch.randn(900, 8)
    head = nn.Linear(8, 5)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(400):
        loss = F.cross_entropy(head(features[:60]), labels[:60])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = head(features)
    return FitInputs(
        head=head,
        train_features=features[:60],
        train_labels=labels[:60],
        validation_features=features[60:],
        validation_logits=logits[60:],
        validation_labels=labels[60:],
        temperature=temperature,
    )


pytestmark = pytest.mark.filterwarnings("ignore:.*(jit.script|link_approx)")


@pytest.fixture(scope="module")
def inputs() -> FitInputs:
    return overconfident_inputs()


def scores_with(method: str, inputs: FitInputs) -> Tensor:
    fitted = METHODS[method].fit(inputs)
    return fitted.scores(inputs.validation_features, inputs.validation_logits)


def sampled(temperature: float, rows: int = 20_000) -> tuple[Tensor, Tensor]:
    """Return logits whose softmax at `temperature` is the truth, and labels drawn from it."""
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(rows, 6, generator=generator)
    truth = (logits / temperature).softmax(1)
    return logits, torch.multinomial(truth, 1, generator=generator)[:, 0]


@settings(deadline=None)
@given(judged)
def test_metrics_are_those_of_a_loop_over_bins(rows: list[tuple[float, int]]) -> None:
    scores, labels = two_classes(rows)
    confidence, correct = scores.max(axis=1), scores.argmax(axis=1) == labels
    ece = overconfidence = 0.0
    edges = np.linspace(0, 1, BINS + 1)
    for lower, upper in pairwise(edges):
        inside = (confidence > lower) & (confidence <= upper)
        if inside.any():
            conf, acc = confidence[inside].mean(), correct[inside].mean()
            ece += inside.mean() * abs(acc - conf)
            overconfidence += inside.mean() * conf * max(conf - acc, 0)
    metrics = calibration_metrics(scores, labels)
    assert metrics["ece"] == pytest.approx(ece, abs=1e-9)
    assert metrics["overconfidence_error"] == pytest.approx(overconfidence, abs=1e-9)
    assert metrics["accuracy"] == correct.mean()
    assert metrics["mmps"] == pytest.approx(confidence.mean())
    assert np.isfinite(metrics["nll"])
    assert reliability_table(scores, labels)["count"].sum() == len(labels)


def test_nll_is_the_cross_entropy() -> None:
    logits, labels = sampled(1.0, rows=50)
    metrics = calibration_metrics(logits.softmax(1).numpy(), labels.numpy())
    assert metrics["nll"] == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-5)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_known_temperature_is_recovered(temperature: float) -> None:
    assert fit_temperature(*sampled(temperature)) == pytest.approx(temperature, rel=0.05)


def test_fitted_temperature_has_the_smallest_nll_of_a_grid() -> None:
    logits, labels = sampled(2.0, rows=300)
    logits = logits.double()

    def nll(temperature: float) -> float:
        return float(F.cross_entropy(logits / temperature, labels))

    best = min(nll(temperature) for temperature in np.geomspace(0.1, 20, 400))
    assert nll(fit_temperature(logits, labels)) <= best + 1e-9


def test_fixed_temperature_divides_the_logits() -> None:
    inputs = overconfident_inputs(2.5)
    expected = (inputs.validation_logits / 2.5).softmax(1)
    torch.testing.assert_close(scores_with("temperature", inputs), expected)


def test_no_calibration_is_the_plain_softmax(inputs: FitInputs) -> None:
    assert torch.equal(scores_with("none", inputs), inputs.validation_logits.softmax(1))


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_probabilities(method: str, inputs: FitInputs) -> None:
    scores = scores_with(method, inputs)
    assert scores.dtype == torch.float32
    assert float(scores.min()) >= 0
    torch.testing.assert_close(scores.sum(1), torch.ones(len(scores)))


@pytest.mark.parametrize("method", ["temperature", "llla"])
def test_calibration_calms_an_overconfident_head(method: str, inputs: FitInputs) -> None:
    labels = inputs.validation_labels.numpy()
    before = calibration_metrics(scores_with("none", inputs).numpy(), labels)
    after = calibration_metrics(scores_with(method, inputs).numpy(), labels)
    assert before["ece"] > 0.1
    assert after["ece"] < before["ece"] / 2
    assert after["mmps"] < before["mmps"]
    assert after["nll"] < before["nll"]


@pytest.mark.parametrize("method", METHODS)
def test_calibration_read_back_gives_the_same_scores(
    method: str, inputs: FitInputs, tmp_path: Path
) -> None:
    fitted = METHODS[method].fit(inputs)
    calibrated.save(tmp_path, method, fitted)
    read = calibrated.load(tmp_path, inputs.head)
    shown = inputs.validation_features, inputs.validation_logits
    assert torch.equal(read.scores(*shown), fitted.scores(*shown))


@pytest.mark.parametrize("method", METHODS)
def test_calibration_keeps_its_own_copy_of_the_head(method: str, inputs: FitInputs) -> None:
    head = copy.deepcopy(inputs.head)
    fitted = METHODS[method].fit(replace(inputs, head=head))
    shown = inputs.validation_features, inputs.validation_logits
    before = fitted.scores(*shown)
    with torch.no_grad():
        head.weight.zero_()
    assert torch.equal(fitted.scores(*shown), before)


def test_single_fitted_numbers_are_reported(inputs: FitInputs) -> None:
    values = {m: calibrated.fitted_values(METHODS[m].fit(inputs)) for m in METHODS}
    assert values["none"] == {"temperature": 1.0}
    assert values["temperature"]["temperature"] > 1
    assert values["llla"]["prior_precision"] > 0
