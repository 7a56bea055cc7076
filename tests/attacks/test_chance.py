"""Attacks with reference models where signals know nothing of membership."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tests.measures.judging import ranking_metrics
from tests.signals.many_models import (
    Says,
    area_of,
    arrays,
    audit,
    coins,
    compared,
    comparison_of,
    halves,
    null_signals,
    pairs,
    ranked,
    save,
    z_of,
)
from trustmia.arrays import Bool, Float64
from trustmia.attacks.outcome import AttackRun
from trustmia.signals.many_models import read_signals
from trustmia.signals.sides import as_many_as, equal_sides, unrelated


def near_halves(rng: np.random.Generator, models: int, images: int) -> Bool:
    count = models // 2 + rng.integers(-1, 2, images)
    return rng.random((models, images)).argsort(axis=0) < count


def folds(rng: np.random.Generator, models: int, images: int) -> Bool:
    return rng.integers(models, size=images) == np.arange(models)[:, None]


NOISE: dict[str, Callable[[Float64, np.random.Generator], Float64]] = {
    "noise": lambda phi, rng: phi,
    "images": lambda phi, rng: 0.5 * phi + 3 * rng.normal(size=phi.shape[1]),
    "models": lambda phi, rng: phi + 4 * np.arange(len(phi))[:, None],
    "tied": lambda phi, rng: np.rint(phi),
    "hard": lambda phi, rng: np.where(phi > 0, 17.0, -17.0),
}


@pytest.mark.parametrize("models", [4, 6, 8, 16, 64])
@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("design", [pairs, halves, coins, near_halves, folds])
def test_every_form_is_at_chance_where_signals_know_nothing(
    design: Says, kind: str, models: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(models)
    shown = NOISE[kind](rng.normal(size=(models, 1500)), rng)
    logits = np.stack([shown, np.zeros_like(shown)], axis=-1)
    content = {
        "logits": logits[:, :1200],
        "labels": np.zeros(1200, int),
        "member": design(rng, models, 1200),
        "population_logits": logits[:, 1200:],
        "population_labels": np.zeros(300, int),
    }
    said = compared(read_signals(save(tmp_path / "signals.npz", content)))
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


def half_coins(rng: np.random.Generator, models: int, images: int) -> Bool:
    """Put each image into half of the first half of models; coins decide for the others."""
    return np.concatenate([design(rng, models // 2, images) for design in (halves, coins)])


def uneven(rng: np.random.Generator, models: int, images: int) -> Bool:
    """Put some images into most models, others into few."""
    return rng.random((models, images)) < rng.beta(4, 4, images)


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
    said = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        # Models that differ in kind, as those of half a design do, may not differ in confidence.
        surer = 0.0 if design is half_coins else 2.0
        signals = null_signals(rng, design(rng, models, images), surer)
        said.append(compared(signals, ["lira", "rmia"], lira={"variance": "global"}))
    assert_at_chance(said, forms=5)


def assert_at_chance(said: list[AttackRun], forms: int) -> None:
    """Assert that the AUROC of so many forms is 1/2, on average over audits."""
    areas = pd.DataFrame([{name: area_of(one, name) for name in one.forms} for one in said])
    assert len(areas.columns) == forms
    for name in areas:
        assert abs(z_of(areas[name].dropna().to_numpy() - 0.5)) < 3, name


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
    def design(rng: np.random.Generator, models: int, images: int) -> Bool:
        member = coins(rng, models, images)
        member[1] = ~member[0] ^ (rng.random(images) < share)
        return member

    return design


@pytest.mark.parametrize("share", [0.06, 0.08, 0.15])
def test_a_model_related_to_the_target_does_not_tell_members(share: float) -> None:
    said = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        signals = null_signals(rng, with_relation(share)(rng, 5, 1000))
        said.append(compared(signals, ["lira", "rmia"]))
        found = comparison_of(said[-1])
        assert found.left_out == (1,) and not found.outstanding()
    assert_at_chance(said, forms=7)


def test_a_model_somewhat_related_to_the_target_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for design, told in ((with_relation(0.3), "1 (r = -0."), (coins, ""), (halves, "")):
        content = arrays(models=8, images=600) | {"member": design(rng, 8, 600)}
        path = save(tmp_path / "signals.npz", content)
        said, _ = audit(path, ["difficulty"], tmp_path / "out")
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
        told, found = audit(path, ["difficulty"], tmp_path / "out")
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
