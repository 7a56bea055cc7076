"""Calibrations, and the numbers that tell how well they work."""

import json
import math
from collections.abc import Sized
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.helpers import REFERENCE, ROOT
from trustmia.calibration import METHODS
from trustmia.calibration import files as calibrated
from trustmia.calibration.base import Calibration, FitInputs, Method
from trustmia.calibration.llla import Llla, exact_hessian, published_hessian, smallest
from trustmia.calibration.metrics import BINS, calibration_metrics, reliability_table
from trustmia.calibration.settings import LllaParams
from trustmia.calibration.temperature import fit_temperature
from trustmia.classifiers import inputs as classifiers
from trustmia.classifiers.inference import Prediction
from trustmia.classifiers.inputs import build
from trustmia.errors import UserError
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import Prepared
from trustmia.params import validated
from trustmia.runtime import checkpoints
from trustmia.stages import _calibration, _reference_models, calibrate
from trustmia.stages._calibration import fit_calibration, noise_images
from trustmia.torchvision_compat import declare_missing_operators

Scores = npt.NDArray[np.float64]
first_scores = st.one_of(
    st.floats(0, 1, allow_subnormal=False), st.integers(0, BINS).map(lambda edge: edge / BINS)
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
        train=Prediction(features[:60], logits[:60]),
        validation=Prediction(features[60:], logits[60:]),
        validation_labels=labels[60:],
        noise=Prediction(features[60:] / 9, logits[60:] / 9),
        temperature=temperature,
        llla=LllaParams(link="probit", samples=100, prior="nll"),
        seed=0,
    )


@pytest.fixture(scope="module")
def inputs() -> FitInputs:
    return overconfident_inputs()


def scores_with(method: str, inputs: FitInputs) -> Tensor:
    fitted = METHODS[method].fit(inputs)
    return fitted.scores(inputs.validation.features, inputs.validation.logits)


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


def test_temperature_is_not_fitted_where_the_model_is_always_right() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.5], [1.0, 1.0]])
    with pytest.raises(UserError, match=r"^calibration\.temperature: .* right about every valid"):
        fit_temperature(logits, torch.tensor([0, 1, 1]))
    assert fit_temperature(logits, torch.tensor([0, 0, 1])) > 0.1


def test_fixed_temperature_divides_the_logits() -> None:
    inputs = overconfident_inputs(2.5)
    expected = (inputs.validation.logits / 2.5).softmax(1)
    torch.testing.assert_close(scores_with("temperature", inputs), expected)


def test_no_calibration_is_the_plain_softmax(inputs: FitInputs) -> None:
    assert torch.equal(scores_with("none", inputs), inputs.validation.logits.softmax(1))


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


@pytest.mark.parametrize(
    ("method", "llla"),
    [
        ("none", LllaParams(link="probit", samples=100, prior="nll")),
        ("temperature", LllaParams(link="probit", samples=100, prior="nll")),
        ("llla", LllaParams(link="probit", samples=100, prior="nll")),
        ("llla", LllaParams(link="mc", samples=7, prior="nll")),
        ("llla", LllaParams(link="mc", samples=100, prior="paper")),
    ],
)
def test_calibration_read_back_gives_the_same_scores(
    method: str, llla: LllaParams, small_cnn: dict[str, Tensor], tmp_path: Path
) -> None:
    inputs = replace(inputs_of(small_cnn, "probit", "nll"), llla=llla)
    fitted = METHODS[method].fit(inputs)
    calibrated.save(tmp_path, method, fitted)
    read = calibrated.load(tmp_path)
    shown = inputs.validation.features, inputs.validation.logits
    assert torch.equal(read.scores(*shown), fitted.scores(*shown))
    assert torch.equal(read.logits(*shown).softmax(1), read.scores(*shown))


def test_single_fitted_numbers_are_reported(inputs: FitInputs) -> None:
    values = {m: calibrated.fitted_values(METHODS[m].fit(inputs)) for m in METHODS}
    assert values["none"] == {"temperature": 1.0}
    assert values["temperature"]["temperature"] > 1
    assert values["llla"]["prior_precision"] > 0


# Last-layer Laplace approximation


@pytest.fixture(scope="module")
def small_cnn() -> dict[str, Tensor]:
    with np.load(REFERENCE / "llla_features.npz") as stored:
        arrays = {name: torch.from_numpy(stored[name]) for name in stored}
    return {n: a.long() if n.endswith("labels") else a.float() for n, a in arrays.items()}


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((REFERENCE / "llla_expected.json").read_text())
    return content


def prediction(small_cnn: dict[str, Tensor], part: str) -> Prediction:
    features, head = small_cnn[part], (small_cnn["head_weight"], small_cnn["head_bias"])
    return Prediction(features, F.linear(features, *head))


def inputs_of(
    small_cnn: dict[str, Tensor], link: Literal["probit", "mc"], prior: Literal["nll", "paper"]
) -> FitInputs:
    return FitInputs(
        train=prediction(small_cnn, "train_features"),
        validation=prediction(small_cnn, "validation_features"),
        validation_labels=small_cnn["validation_labels"],
        noise=prediction(small_cnn, "noise_features"),
        temperature="fit",
        llla=LllaParams(link=link, samples=100, prior=prior),
        seed=0,
    )


def published_posterior(
    small_cnn: dict[str, Tensor], published: dict[str, Any], draws: Tensor | None
) -> Llla:
    train = prediction(small_cnn, "train_features")
    drawn = train.logits.argmax(1)
    # The published code draws a label for each image; here all but one are the likeliest.
    drawn[published["unlikely_draw"]["image"]] = published["unlikely_draw"]["label"]
    hessian = published_hessian(train.features, train.logits, drawn)
    return hessian.posterior(1 / published["var0"], draws)


def metrics_of(calibration: Llla, small_cnn: dict[str, Tensor]) -> dict[str, float]:
    test = prediction(small_cnn, "test_features")
    scores = calibration.scores(test.features, test.logits)
    return calibration_metrics(scores.numpy(), small_cnn["test_labels"].numpy())


def variances_of(posterior: Llla, features: Tensor) -> Tensor:
    """Return the logits' variances, by what the probit approximation makes of logits of 1."""
    scaled = posterior.logits(features, torch.ones(len(features), len(posterior.class_basis)))
    return 8 / math.pi * (scaled**-2 - 1)


def test_posterior_is_the_published_one(
    small_cnn: dict[str, Tensor], published: dict[str, Any]
) -> None:
    shown = prediction(small_cnn, "test_first3")
    variances = variances_of(published_posterior(small_cnn, published, None), shown.features)
    means, expected = published["logit_mean_first3"], published["logit_variance_first3"]
    torch.testing.assert_close(shown.logits, torch.tensor(means), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(variances, torch.tensor(expected), rtol=2e-4, atol=0)


def test_sampled_scores_are_as_calibrated_as_the_published_ones(
    small_cnn: dict[str, Tensor], published: dict[str, Any]
) -> None:
    noise = prediction(small_cnn, "noise_features")
    found, on_noise = [], []
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        draws = torch.randn(100, 10, dtype=torch.float64, generator=generator)
        calibration = published_posterior(small_cnn, published, draws)
        found.append(metrics_of(calibration, small_cnn))
        on_noise.append(calibration.scores(noise.features, noise.logits).amax(1).mean())
    for ours, theirs, tolerance in (
        ("ece", "ece15", 0.006),
        ("nll", "nll", 0.01),
        ("mmps", "mmps", 0.005),
        ("accuracy", "accuracy", 0.005),
    ):
        expected = np.mean([draw[theirs] for draw in published["after_published_mc100"]])
        assert np.mean([draw[ours] for draw in found]) == pytest.approx(expected, abs=tolerance)
    expected = published["noise_mmps_after"]
    assert float(torch.stack(on_noise).mean()) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("seed", range(3))
def test_choice_of_the_paper_is_within_the_published_spread(
    seed: int, small_cnn: dict[str, Tensor], published: dict[str, Any]
) -> None:
    inputs = replace(inputs_of(small_cnn, "mc", "paper"), seed=seed)
    fitted = METHODS["llla"].fit(inputs)
    assert isinstance(fitted, Llla)
    variance = 1 / float(fitted.prior_precision)
    spread = published["var0_of_other_search_seeds"]
    # Two steps of the grid, as ten samples for each image leave the choice to chance.
    assert min(spread) / 1.33 < variance < max(spread) * 1.33
    assert np.log10(variance) * 99 / 6 == pytest.approx(round(np.log10(variance) * 99 / 6))
    assert metrics_of(fitted, small_cnn)["ece"] < 0.6 * published["before"]["ece15"]


@pytest.mark.parametrize("link", ["probit", "mc"])
def test_prior_has_the_smallest_nll_of_all(
    link: Literal["probit", "mc"], small_cnn: dict[str, Tensor]
) -> None:
    inputs = inputs_of(small_cnn, link, "nll")
    fitted = METHODS["llla"].fit(inputs)
    assert isinstance(fitted, Llla)
    hessian = exact_hessian(inputs.train.features, inputs.train.logits)
    shown, labels = inputs.validation, inputs.validation_labels.numpy()

    def nll(calibration: Llla) -> float:
        scores = calibration.scores(shown.features, shown.logits).numpy()
        return calibration_metrics(scores, labels)["nll"]

    grid = np.geomspace(1e-5, 1e5, 101)
    best = min(nll(hessian.posterior(precision, fitted.draws)) for precision in grid)
    assert nll(fitted) == pytest.approx(best, abs=1e-5)
    assert nll(fitted) < 0.6 * nll(hessian.posterior(1e4, fitted.draws))
    assert 1 < float(fitted.prior_precision) < 1e4


def test_factors_are_the_published_running_average() -> None:
    generator = torch.Generator().manual_seed(3)
    growing = torch.linspace(1, 3, 5000, dtype=torch.float64)[:, None]
    features = torch.randn(5000, 4, generator=generator) * growing
    logits = torch.randn(5000, 3, generator=generator)
    drawn = torch.randint(3, (5000,), generator=generator)
    average = torch.zeros(4, 4, dtype=torch.float64)
    for number, batch in enumerate(features.split(128)):
        kept = min(1 - 1 / (number + 1), 0.95)
        average = kept * average + (1 - kept) * batch.T @ batch / len(batch)
    found = published_hessian(features, logits, drawn)
    basis, values = found.feature_basis, found.feature_values
    torch.testing.assert_close(basis @ values.diag() @ basis.T, average)


def test_stages_show_images_in_the_precision_and_batches_of_predict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["calibration"] |= {"method": "llla", "llla": {"link": "mc", "samples": 5}}
    values["calibration"]["llla"]["prior"] = "paper"
    values["predict"] |= {"batch_size": 7, "precision": "bf16"}
    params = validated(values, "params.yaml")
    dataset = Dataset("fashion_mnist", ("a", "b"), 1, 28, (0.5,), (0.25,))
    images = Images(np.zeros((12, 1, 28, 28), np.uint8), np.arange(12) % 2)
    prepared = Prepared(dataset, images, None)
    seen: list[tuple[int, str]] = []

    def note(model: object, shown: Sized, batch_size: int = 0, precision: str = "") -> Prediction:
        seen.append((batch_size, precision))
        return Prediction(torch.zeros(len(shown), 128), torch.zeros(len(shown), 2))

    monkeypatch.setattr(classifiers, "predict", note)
    monkeypatch.setattr(_calibration, "METHODS", {"llla": METHODS["none"]})
    for name, found in {
        "load_params": lambda: params,
        "read_prepared": lambda _: prepared,
        "read_split": lambda _: dict.fromkeys(("train", "validation", "test"), np.arange(12)),
        "report": lambda *_: None,
    }.items():
        monkeypatch.setattr(calibrate, name, found)
    monkeypatch.setattr(checkpoints, "load", lambda _: None)
    monkeypatch.setattr(classifiers, "restore", lambda *_: build(dataset, "salem_cnn"))
    monkeypatch.setattr(calibrated, "save", lambda *_: None)
    calibrate.main("target")
    assert seen == [(7, "bf16")] * 4, "three parts and the noise images"
    shown = _reference_models.Shown(params, prepared, images, images, images)
    shown.ask(build(dataset, "salem_cnn"), "members", images)
    assert seen[4:] == [(7, "bf16")]
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    used = stages["calibrate"]["do"]["params"]
    assert "predict" in used


@pytest.mark.parametrize("prior", ["nll", "paper"])
def test_stage_shows_noise_where_the_prior_is_the_papers(
    prior: Literal["nll", "paper"], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["calibration"] = {
        "method": "llla",
        "temperature": "fit",
        "llla": {"link": "mc", "samples": 5, "prior": prior},
    }
    given: list[FitInputs] = []

    def note(inputs: FitInputs) -> Calibration:
        given.append(inputs)
        return METHODS["none"].fit(inputs)

    method = Method(note, METHODS["llla"].load)
    monkeypatch.setattr(_calibration, "METHODS", {"llla": method})
    dataset = Dataset("fashion_mnist", ("a", "b"), 1, 28, (0.5,), (0.25,))
    seen = Prediction(torch.zeros(40, 128), torch.zeros(40, 2))
    model, params = build(dataset, "salem_cnn"), validated(values, "params.yaml")
    for _ in range(2):
        fit_calibration(params, dataset, model, seen, seen, np.zeros(40, int))
    first, second = given
    assert first.llla == LllaParams(link="mc", samples=5, prior=prior)
    assert first.seed == second.seed
    if prior == "nll":
        assert first.noise is None
    else:
        assert first.noise is not None and second.noise is not None
        assert len(first.noise.logits) == 40
        assert torch.equal(first.noise.features, second.noise.features)
    pixels = noise_images(dataset, 40, 42).pixels
    assert pixels.shape == (40, 1, 28, 28)
    assert np.bincount(pixels.ravel(), minlength=256).min() > 0.5 * pixels.size / 256
    assert pixels.mean() == pytest.approx(127.5, abs=2)


def test_posterior_is_that_of_laplace_torch(inputs: FitInputs) -> None:
    """Its covariances are; its grid search ends at the largest precision, whatever it is."""
    declare_missing_operators()
    from laplace import KronLaplace

    train, shown = inputs.train, inputs.validation.features[:50]
    weights = torch.linalg.lstsq(F.pad(train.features, (0, 1), value=1.0), train.logits).solution
    head = nn.Linear(8, 5)
    head.load_state_dict({"weight": weights[:-1].T, "bias": weights[-1]})
    library = KronLaplace(head, "classification", prior_precision=3.0)
    library.fit(DataLoader(TensorDataset(train.features, train.logits.argmax(1)), batch_size=60))
    _, expected = library._glm_predictive_distribution(shown)
    ours = exact_hessian(train.features, train.logits).posterior(3.0, None)
    variances = variances_of(ours, shown)
    torch.testing.assert_close(variances, expected.diagonal(dim1=1, dim2=2), rtol=1e-3, atol=0)


def test_sampled_scores_depend_on_the_image_alone(small_cnn: dict[str, Tensor]) -> None:
    inputs = replace(
        inputs_of(small_cnn, "mc", "nll"), llla=LllaParams(link="mc", samples=20, prior="nll")
    )
    fitted, again = (METHODS["llla"].fit(inputs) for _ in range(2))
    features, logits = inputs.validation.features, inputs.validation.logits
    whole = fitted.logits(features, logits)
    assert torch.equal(whole, again.logits(features, logits))
    other = METHODS["llla"].fit(replace(inputs, seed=1))
    assert not torch.equal(whole, other.logits(features, logits))
    for size in (1, 7, 100):
        parts = zip(features.split(size), logits.split(size))
        assert torch.equal(torch.cat([fitted.logits(*part) for part in parts]), whole)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    assert torch.equal(fitted.logits(features[order], logits[order]), whole[order])


@pytest.mark.parametrize(
    ("prior", "scale", "noise"),
    [
        ("paper", 0.1, 1),
        ("paper", 0.02, 1),
        ("paper", 0.05, 0),
        ("paper", 0.02, 5),
        ("nll", 0.02, 1),
    ],
)
def test_chance_gives_a_flat_loss_no_minimum(
    prior: Literal["nll", "paper"], scale: float, noise: float, small_cnn: dict[str, Tensor]
) -> None:
    """A head that is small is not overconfident, whatever the noise images are."""
    some = {name: part[:200] for name, part in small_cnn.items()}
    some["noise_features"] = noise * some["noise_features"]
    some |= {name: scale * small_cnn[name] for name in ("head_weight", "head_bias")}
    for seed in range(3):
        inputs = replace(
            inputs_of(some, "mc", prior), llla=LllaParams(link="mc", samples=20, prior=prior)
        )
        with pytest.raises(UserError, match="not overconfident"):
            METHODS["llla"].fit(replace(inputs, seed=seed))


@pytest.mark.parametrize("minimum", [-7.0, -4.0, -0.3, 4.0, 6.0])
def test_grid_widens_until_the_minimum_is_inside(minimum: float) -> None:
    found = smallest(lambda precision: (np.log10(precision) - minimum) ** 2, (-4.0, 4.0), 0.1)
    assert np.log10(found) == pytest.approx(minimum)


def test_minimum_that_only_rounding_makes_is_an_end() -> None:
    def loss(precision: float) -> float:
        return max(1 / precision, 1e-3) + (1e-13 if precision > 2e3 else 0)

    with pytest.raises(UserError, match="not overconfident"):
        smallest(loss, (-4.0, 4.0), 0.1)


@pytest.mark.parametrize(
    ("sign", "said"),
    [(-1, r"of 1e\+08: the model is not over"), (1, "of 1e-08: the widest posterior is still")],
)
def test_loss_without_a_minimum_is_an_error(sign: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        smallest(lambda precision: sign * float(np.log10(precision)), (-4.0, 4.0), 0.1)


def test_head_that_is_not_overconfident_is_named(inputs: FitInputs) -> None:
    calm = Prediction(inputs.validation.features, inputs.validation.logits / 100)
    with pytest.raises(UserError, match=r"calibration\.method llla: .*not overconfident"):
        METHODS["llla"].fit(replace(inputs, validation=calm))
