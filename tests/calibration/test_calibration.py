"""Calibrations, and the numbers that tell how well they work."""

import math
from collections.abc import Callable, Sized
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.helpers import REFERENCE, ROOT, STAGES
from trustmia import files
from trustmia.arrays import Float64, Int64
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
from trustmia.params import Params, validated
from trustmia.runtime import checkpoints
from trustmia.stages import _calibration, _reference_models, calibrate
from trustmia.stages._calibration import fit_calibration, noise_images
from trustmia.torchvision_compat import declare_missing_operators

Link = Literal["probit", "mc"]
Prior = Literal["nll", "paper"]
# What the published code gives of a small network, and that network's features.
PUBLISHED = files.read_json(REFERENCE / "llla_expected.json")
SMALL_CNN = {
    name: torch.from_numpy(array).to(torch.int64 if name.endswith("labels") else torch.float32)
    for name, array in files.read_arrays(REFERENCE / "llla_features.npz").items()
}
DATASET = Dataset("fashion_mnist", ("a", "b"), 1, 28, (0.5,), (0.25,))
first_scores = st.one_of(
    st.floats(0, 1, allow_subnormal=False), st.integers(0, BINS).map(lambda edge: edge / BINS)
)
judged = st.lists(st.tuples(first_scores, st.integers(0, 1)), min_size=1, max_size=60)


def two_classes(rows: list[tuple[float, int]]) -> tuple[Float64, Int64]:
    first, labels = (np.asarray(column) for column in zip(*rows))
    return np.stack([first, 1 - first], axis=1), labels.astype(np.int64)


@pytest.fixture(scope="module")
def inputs() -> FitInputs:
    """Return those of a head that is too sure of the 60 images that it was fitted on."""
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
        temperature="fit",
        llla=LllaParams(link="probit", samples=100, prior="nll"),
        seed=0,
    )


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


@pytest.mark.parametrize(("method", "temperature"), [("none", 1), ("temperature", 2.5)])
def test_temperature_divides_the_logits(method: str, temperature: float, inputs: FitInputs) -> None:
    found = scores_with(method, replace(inputs, temperature=2.5))
    torch.testing.assert_close(found, (inputs.validation.logits / temperature).softmax(1))


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
    ("method", "link", "prior", "samples"),
    [
        *((method, "probit", "nll", 100) for method in METHODS),
        ("llla", "mc", "nll", 7),
        ("llla", "mc", "paper", 100),
    ],
)
def test_calibration_read_back_gives_the_same_scores(
    method: str, link: Link, prior: Prior, samples: int, tmp_path: Path
) -> None:
    inputs = inputs_of(link, prior, samples)
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


def prediction(part: str, cnn: dict[str, Tensor] = SMALL_CNN) -> Prediction:
    features = cnn[f"{part}_features"]
    return Prediction(features, F.linear(features, cnn["head_weight"], cnn["head_bias"]))


def inputs_of(
    link: Link, prior: Prior, samples: int = 100, cnn: dict[str, Tensor] = SMALL_CNN
) -> FitInputs:
    parts = {part: prediction(part, cnn) for part in ("train", "validation", "noise")}
    llla = LllaParams(link=link, samples=samples, prior=prior)
    labels = cnn["validation_labels"]
    return FitInputs(**parts, validation_labels=labels, temperature="fit", llla=llla, seed=0)


def published_posterior(draws: Tensor | None) -> Llla:
    train = prediction("train")
    drawn = train.logits.argmax(1)
    # The published code draws a label for each image; here all but one are the likeliest.
    drawn[PUBLISHED["unlikely_draw"]["image"]] = PUBLISHED["unlikely_draw"]["label"]
    hessian = published_hessian(train.features, train.logits, drawn)
    return hessian.posterior(1 / PUBLISHED["var0"], draws)


def metrics_of(calibration: Llla) -> dict[str, float]:
    test = prediction("test")
    scores = calibration.scores(test.features, test.logits)
    return calibration_metrics(scores.numpy(), SMALL_CNN["test_labels"].numpy())


def variances_of(posterior: Llla, features: Tensor) -> Tensor:
    """Return the logits' variances, by what the probit approximation makes of logits of 1."""
    scaled = posterior.logits(features, torch.ones(len(features), len(posterior.class_basis)))
    return 8 / math.pi * (scaled**-2 - 1)


def test_posterior_is_the_published_one() -> None:
    shown = prediction("first", SMALL_CNN | {"first_features": SMALL_CNN["test_first3"]})
    variances = variances_of(published_posterior(None), shown.features)
    means, expected = PUBLISHED["logit_mean_first3"], PUBLISHED["logit_variance_first3"]
    torch.testing.assert_close(shown.logits, torch.tensor(means), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(variances, torch.tensor(expected), rtol=2e-4, atol=0)


def test_sampled_scores_are_as_calibrated_as_the_published_ones() -> None:
    noise = prediction("noise")
    found, on_noise = [], []
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        draws = torch.randn(100, 10, dtype=torch.float64, generator=generator)
        calibration = published_posterior(draws)
        found.append(metrics_of(calibration))
        on_noise.append(calibration.scores(noise.features, noise.logits).amax(1).mean())
    for name, tolerance in (("ece", 0.006), ("nll", 0.01), ("mmps", 0.005), ("accuracy", 0.005)):
        theirs = "ece15" if name == "ece" else name
        expected = np.mean([draw[theirs] for draw in PUBLISHED["after_published_mc100"]])
        assert np.mean([draw[name] for draw in found]) == pytest.approx(expected, abs=tolerance)
    expected = PUBLISHED["noise_mmps_after"]
    assert float(torch.stack(on_noise).mean()) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("seed", range(3))
def test_choice_of_the_paper_is_within_the_published_spread(seed: int) -> None:
    fitted = METHODS["llla"].fit(replace(inputs_of("mc", "paper"), seed=seed))
    assert isinstance(fitted, Llla)
    variance = 1 / float(fitted.prior_precision)
    spread = PUBLISHED["var0_of_other_search_seeds"]
    # Two steps of the grid, as ten samples for each image leave the choice to chance.
    assert min(spread) / 1.33 < variance < max(spread) * 1.33
    assert np.log10(variance) * 99 / 6 == pytest.approx(round(np.log10(variance) * 99 / 6))
    assert metrics_of(fitted)["ece"] < 0.6 * PUBLISHED["before"]["ece15"]


@pytest.mark.parametrize("link", ["probit", "mc"])
def test_prior_has_the_smallest_nll_of_all(link: Link) -> None:
    inputs = inputs_of(link, "nll")
    fitted = METHODS["llla"].fit(inputs)
    assert isinstance(fitted, Llla)
    hessian = exact_hessian(inputs.train.features, inputs.train.logits)
    shown, labels = inputs.validation, inputs.validation_labels.numpy()

    def nll(calibration: Llla) -> float:
        scores = calibration.scores(shown.features, shown.logits).numpy()
        return calibration_metrics(scores, labels)["nll"]

    grid = np.geomspace(1e-5, 1e5, 51)
    best = min(nll(hessian.posterior(precision, fitted.draws)) for precision in grid)
    assert nll(fitted) <= best + 1e-5
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


def params_of(prior: Prior, **predict: object) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    llla = {"link": "mc", "samples": 5, "prior": prior}
    values["calibration"] = {"method": "llla", "temperature": "fit", "llla": llla}
    values["predict"] |= predict
    return validated(values, "params.yaml")


def test_stages_show_images_in_the_precision_and_batches_of_predict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = params_of("paper", batch_size=7, precision="bf16")
    images = Images(np.zeros((12, 1, 28, 28), np.uint8), np.arange(12) % 2)
    prepared = Prepared(DATASET, images, None)
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
    monkeypatch.setattr(classifiers, "restore", lambda *_: build(DATASET, "salem_cnn"))
    monkeypatch.setattr(calibrated, "save", lambda *_: None)
    calibrate.main("target")
    assert seen == [(7, "bf16")] * 4, "three parts and the noise images"
    shown = _reference_models.Shown(params, prepared, images, images, images)
    shown.ask(build(DATASET, "salem_cnn"), "members", images)
    assert seen[4:] == [(7, "bf16")]
    assert "predict" in STAGES["calibrate"]["params"]


@pytest.mark.parametrize("prior", ["nll", "paper"])
def test_stage_shows_noise_where_the_prior_is_the_papers(
    prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[FitInputs] = []

    def note(inputs: FitInputs) -> Calibration:
        given.append(inputs)
        return METHODS["none"].fit(inputs)

    method = Method(note, METHODS["llla"].load)
    monkeypatch.setattr(_calibration, "METHODS", {"llla": method})
    seen = Prediction(torch.zeros(40, 128), torch.zeros(40, 2))
    model = build(DATASET, "salem_cnn")
    for _ in range(2):
        fit_calibration(params_of(prior), DATASET, model, seen, seen, np.zeros(40, int))
    first, second = given
    assert first.llla == LllaParams(link="mc", samples=5, prior=prior)
    assert first.seed == second.seed
    if prior == "nll":
        assert first.noise is None
    else:
        assert first.noise is not None and second.noise is not None
        assert len(first.noise.logits) == 40
        assert torch.equal(first.noise.features, second.noise.features)
    pixels = noise_images(DATASET, 40, 42).pixels
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


def test_sampled_scores_depend_on_the_image_alone() -> None:
    inputs = inputs_of("mc", "nll", 20)
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
    [("nll", 0.02, 1), *(("paper", *one) for one in ((0.1, 1), (0.02, 1), (0.05, 0), (0.02, 5)))],
)
def test_chance_gives_a_flat_loss_no_minimum(prior: Prior, scale: float, noise: float) -> None:
    """A head that is small is not overconfident, whatever the noise images are."""
    some = {name: part[:200] for name, part in SMALL_CNN.items()}
    some["noise_features"] = noise * some["noise_features"]
    some |= {name: scale * SMALL_CNN[name] for name in ("head_weight", "head_bias")}
    for seed in range(3):
        with pytest.raises(UserError, match="not overconfident"):
            METHODS["llla"].fit(replace(inputs_of("mc", prior, 20, some), seed=seed))


@pytest.mark.parametrize("minimum", [-7.0, -4.0, -0.3, 4.0, 6.0])
def test_grid_widens_until_the_minimum_is_inside(minimum: float) -> None:
    found = smallest(lambda precision: (np.log10(precision) - minimum) ** 2, (-4.0, 4.0), 0.1)
    assert np.log10(found) == pytest.approx(minimum)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (lambda precision: -np.log10(precision), r"of 1e\+08: the model is not overconfident"),
        (np.log10, "of 1e-08: the widest posterior is still"),
        # A minimum that only rounding makes.
        (lambda precision: max(1 / precision, 1e-3) + 1e-13 * (precision > 2e3), "not overconf"),
    ],
)
def test_loss_without_a_minimum_is_an_error(loss: Callable[[float], float], told: str) -> None:
    with pytest.raises(UserError, match=told):
        smallest(loss, (-4.0, 4.0), 0.1)


def test_head_that_is_not_overconfident_is_named(inputs: FitInputs) -> None:
    calm = Prediction(inputs.validation.features, inputs.validation.logits / 100)
    with pytest.raises(UserError, match=r"calibration\.method llla: .*not overconfident"):
        METHODS["llla"].fit(replace(inputs, validation=calm))
