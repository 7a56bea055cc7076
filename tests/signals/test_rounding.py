"""Rounded scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import softmax

from tests.helpers import REFERENCE
from tests.measures.judging import ranking_metrics
from tests.signals.many_models import audit, compared, ranked, save
from trustmia.arrays import Float64
from trustmia.signals import confidence
from trustmia.signals.many_models import read_signals
from trustmia.signals.rounding import Rounding

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
    told, metrics = audit(path, ["lira"], tmp_path / "out")
    true = content["scores"][..., 0]
    assert (content["labels"] == 0).all()
    ends = int(((true == 0) | (true == 1)).any(axis=0).sum())
    assert f"Rounded: in {ends} of 2500 images a model gives the true class 0 or 1; 0 c" in told
    assert metrics["num_rounded"] == ends


def confident(models: int = 6, images: int = 600, classes: int = 5) -> Float64:
    """Return softmax of which a good part is beyond six decimals: float64 [M, N, K]."""
    logits = np.random.default_rng(0).normal(scale=7, size=(models, images, classes))
    return np.asarray(softmax(logits, axis=-1))


def of_step(scores: Float64, step: float, renormalised: bool = False) -> Float64:
    rounded = np.rint(scores / step) * step
    return rounded / rounded.sum(axis=-1, keepdims=True) if renormalised else rounded


Write = Callable[[Float64], Any]


def partly_in_full(step: float, part: Any) -> tuple[float, Write]:
    def write(scores: Float64) -> Float64:
        rounded = of_step(scores, step, renormalised=True)
        rounded[part] = scores[part]
        return rounded

    return step, write


FORMS: dict[str, tuple[float, Write]] = {
    "six decimals": (1e-6, lambda scores: scores.round(6)),
    "six decimals in float32": (1e-6, lambda scores: scores.round(6).astype(np.float32)),
    "divided by sums": (1e-6, lambda scores: of_step(scores, 1e-6, renormalised=True)),
    "two decimals by sums": (0.01, lambda scores: of_step(scores, 0.01, renormalised=True)),
    "bytes": (1 / 255, lambda scores: of_step(scores, 1 / 255)),
    "256ths": (1 / 256, lambda scores: of_step(scores, 1 / 256)),
    "256ths in float16": (1 / 256, lambda scores: of_step(scores, 1 / 256).astype(np.float16)),
    "a model in full": partly_in_full(1e-6, np.s_[:1]),
    "all models but one": partly_in_full(1e-6, np.s_[1:]),
    "an image in full": partly_in_full(1e-6, np.s_[2:3, 7:8]),
    "some images in full": partly_in_full(1e-6, np.s_[:, ::12]),
    "bytes and some": partly_in_full(1 / 255, np.s_[:, ::12]),
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
    kind: str, write: Write, least: tuple[float | None, ...], single: bool
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
