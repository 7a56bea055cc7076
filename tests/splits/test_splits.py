"""Properties that every split has, whatever its sizes and seeds."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trustmia.errors import UserError
from trustmia.splits import Split, SplitParams
from trustmia.splits.stratified import ROLES, split_indices

Labels = npt.NDArray[np.int64]
SIZES = SplitParams(
    method="stratified",
    pool_seed=0,
    pool_size=240,
    generator_holdout_size=30,
    train_size=60,
    validation_size=20,
    test_size=40,
    attack_members=30,
    attack_nonmembers=20,
)
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), 100))
part = st.integers(16, 30)
ROUNDINGS = 5  # one for each draw on the way to a part


def with_sizes(sizes: SplitParams, **changes: Any) -> SplitParams:
    return sizes.model_copy(update=changes)


@st.composite
def possible_sizes(draw: st.DrawFn) -> SplitParams:
    train, validation, test = (draw(part) for _ in range(3))
    return with_sizes(
        SIZES,
        pool_size=2 * (train + validation + test) + draw(st.integers(16, 30)),
        generator_holdout_size=draw(part),
        train_size=train,
        validation_size=validation,
        test_size=test,
        attack_members=draw(st.integers(8, train - 8)),
        attack_nonmembers=draw(st.integers(8, test - 8)),
    )


@st.composite
def uneven_labels(draw: st.DrawFn) -> Labels:
    counts = draw(st.lists(st.integers(130, 200), min_size=2, max_size=3))
    order = np.random.default_rng(draw(st.integers(0, 99)))
    return order.permutation(np.repeat(np.arange(len(counts)), counts))


def equal(first: Split, second: Split) -> bool:
    pairs = [(first[owner][name], second[owner][name]) for owner in first for name in first[owner]]
    return all(np.array_equal(one, other) for one, other in pairs)


def test_everything_may_be_used_up_and_calibration_fitted_on_the_test_images() -> None:
    at_limits = {"pool_size": 400, "generator_holdout_size": 0, "validation_size": 0}
    sizes = with_sizes(SIZES, **at_limits, attack_members=60, attack_nonmembers=40)
    split = split_indices(LABELS, sizes, 0)
    assert len(split["generator"]["train"]) == len(split["generator"]["holdout"]) == 0
    for parts in (split[role] for role in ROLES):
        assert np.array_equal(parts["validation"], parts["test"]) and len(parts["test"]) == 40
        assert np.array_equal(parts["members"], parts["train"]) and len(parts["train"]) == 60
        assert np.array_equal(parts["non_members"], parts["test"])


@settings(deadline=None, max_examples=30)
@given(uneven_labels(), possible_sizes(), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_parts_are_disjoint_of_the_wanted_sizes_and_have_the_classes_in_proportion(
    labels: Labels, sizes: SplitParams, pool_seed: int, seed: int
) -> None:
    split = split_indices(labels, with_sizes(sizes, pool_seed=pool_seed), seed)
    generator = split["generator"]
    disjoint = [generator["train"], generator["holdout"]]
    disjoint += [split[role][name] for role in ROLES for name in ("train", "validation", "test")]
    together = np.concatenate(disjoint)
    assert len(np.unique(together)) == len(together)
    assert set(together.tolist()) <= set(range(len(labels)))
    assert len(generator["holdout"]) == sizes.generator_holdout_size
    assert len(generator["train"]) == len(labels) - sizes.pool_size - sizes.generator_holdout_size
    for parts in (split[role] for role in ROLES):
        assert {name: len(index) for name, index in parts.items()} == {
            "train": sizes.train_size,
            "validation": sizes.validation_size,
            "test": sizes.test_size,
            "members": sizes.attack_members,
            "non_members": sizes.attack_nonmembers,
        }
        assert set(parts["members"]) <= set(parts["train"])
        assert set(parts["non_members"]) <= set(parts["test"])
    share = np.bincount(labels) / len(labels)
    for index in (index for parts in split.values() for index in parts.values()):
        counts = np.bincount(labels[index], minlength=len(share))
        assert np.abs(counts - share * len(index)).max() < ROUNDINGS
        assert index.dtype == np.int64 and np.array_equal(index, np.sort(index))


@settings(deadline=None, max_examples=30)
@given(possible_sizes(), st.integers(0, 2**32 - 1), st.integers(0, 99))
def test_generator_keeps_its_images_whatever_the_seed_and_sizes_of_models(
    sizes: SplitParams, seed: int, pool_seed: int
) -> None:
    pool, holdout = SIZES.pool_size, SIZES.generator_holdout_size
    sizes = with_sizes(sizes, pool_size=pool, generator_holdout_size=holdout, pool_seed=pool_seed)
    changed = split_indices(LABELS, sizes, seed)["generator"]
    usual = split_indices(LABELS, with_sizes(SIZES, pool_seed=pool_seed), 0)["generator"]
    assert equal({"generator": changed}, {"generator": usual})


def test_same_seeds_give_the_same_split_and_others_others() -> None:
    first, again, other = (split_indices(LABELS, SIZES, seed) for seed in (7, 7, 8))
    assert equal(first, again)
    for role in ROLES:
        assert not np.array_equal(first[role]["train"], other[role]["train"])
    other = split_indices(LABELS, with_sizes(SIZES, pool_seed=1), 7)
    assert not np.array_equal(first["generator"]["train"], other["generator"]["train"])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"pool_size": 371}, r"split\.pool_size \+ generator_holdout_size is 401; .* at most 400 "),
        (
            {"train_size": 61},
            r"split\.train_size \+ validation_size \+ test_size, twice, is 242; .* 240 \(pool_size",
        ),
        ({"attack_members": 61}, r"split\.attack_members is 61; .* at most 60 \(train_size\)"),
        ({"attack_nonmembers": 41}, r"split\.attack_nonmembers is 41; .* 40 \(test_size\)"),
        ({"attack_members": 1}, "split: cannot draw 1 of 60 images with every class"),
    ],
)
def test_impossible_sizes_are_named_with_what_is_allowed(
    changes: dict[str, int], complaint: str
) -> None:
    with pytest.raises(UserError, match=f"params.yaml: {complaint}"):
        split_indices(LABELS, with_sizes(SIZES, **changes), 0)
