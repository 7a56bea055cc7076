"""What attacks with reference models share: ties, views, further sets, what is told."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score

from tests.attacks.attacking import COMPARED, COMPARING, attack
from tests.measures.judging import rate_by_hand
from tests.signals.many_models import (
    LIRA,
    RMIA,
    Arrays,
    Says,
    arrays,
    audit,
    binary,
    coins,
    compared,
    comparison_of,
    constant,
    forms_of,
    halves,
    in_memory,
    pairs,
    save,
    score,
    scores_of,
    summaries,
)
from trustmia import cli, files
from trustmia.arrays import Float64
from trustmia.attacks.base import Need, Refused
from trustmia.errors import UserError
from trustmia.signals import confidence
from trustmia.signals.container import Signals
from trustmia.signals.many_models import read_signals
from trustmia.signals.scores import ScoreSet
from trustmia.signals.summaries import summarise


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
    assert (found.in_models.spread == found.out_models.spread).all()
    assert (found.in_models.spread > 0).all()
    assert found.without_spread() == int(max(inside, outside) > 1)


def log_probability(content: Arrays) -> Float64:
    """Return that of each image's class: float64 [M, N]."""
    logs = log_softmax(content["logits"].astype(float), axis=-1)
    return logs[:, np.arange(len(content["labels"])), content["labels"]]


def test_baselines_are_the_loss_and_its_distance_from_other_models() -> None:
    content = arrays()
    log_p, found = log_probability(content), summaries(content)
    np.testing.assert_allclose(score("loss", *found), log_p[0])
    outside = ~content["member"][1:]
    others = (log_p[1:] * outside).sum(0) / outside.sum(0)
    np.testing.assert_allclose(score("difficulty", *found), log_p[0] - others)


@pytest.mark.parametrize("name", COMPARED)
def test_every_attack_finds_members_of_models_that_leak(name: str) -> None:
    content = arrays(models=16, images=400)
    found = score(name, *summaries(content))
    assert roc_auc_score(content["member"][0], found) > 0.6


def test_views_of_an_image_are_averaged() -> None:
    once = arrays()
    both = ("logits", "population_logits")
    twice = once | {name: np.repeat(once[name][:, :, None], 2, axis=2) for name in both}
    for name in COMPARED:
        first, second = (score(name, *summaries(c)) for c in (once, twice))
        np.testing.assert_allclose(first, second)


def test_reading_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summaries(arrays())
    monkeypatch.setattr("trustmia.arrays.BLOCK", 21)
    for one, other in zip(whole, summaries(arrays()), strict=True):
        np.testing.assert_array_equal(one.target, other.target)
        for side in ("in_models", "out_models"):
            first, second = getattr(one, side), getattr(other, side)
            np.testing.assert_allclose(first.spread, second.spread)
            np.testing.assert_array_equal(first.median, second.median)
            np.testing.assert_array_equal(first.probability, second.probability)


@pytest.mark.parametrize("design", [halves, pairs, coins])
@pytest.mark.parametrize(
    ("value", "kind"), [(1, "f8"), (0, "f8"), (1 / 3, "f8"), (0.7, "f4"), (0.9995, "f2")]
)
def test_models_that_say_the_same_of_all_images_tie(
    value: float, kind: str, design: Says, tmp_path: Path
) -> None:
    for models, views in ((2, None), (4, 2), (6, None), (8, None), (12, 3), (22, None), (64, 2)):
        content = binary(constant(value, kind), models, 64, design, views)
        found = forms_of(save(tmp_path / "signals.npz", content))
        assert set(found.values()) == {(0.5, 0.5)}, models
        assert len(found) > 4 or design is coins or models == 2


@pytest.mark.parametrize("models", [6, 8, 16])
def test_models_that_agree_on_each_image_say_nothing_by_their_spread(
    models: int, tmp_path: Path
) -> None:
    def agree(rng: np.random.Generator, models: int, images: int) -> Float64:
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
    def label(rng: np.random.Generator, models: int, images: int) -> Float64:
        return (rng.random((models, images)) < right).astype(float)

    path = save(tmp_path / "signals.npz", binary(label, models, 2000, halves))
    found = forms_of(path)
    for name in ("lira_online", "lira_offline"):
        assert found[name][0] == pytest.approx(0.5, abs=0.08), name
    assert 0 < np.abs(scores_of(path)["lira_online"]).max() < 1000


def test_images_without_spread_are_counted_and_told(tmp_path: Path) -> None:
    content = arrays(models=8)
    content["logits"][:, :7] = content["logits"][:1, :7]
    path = save(tmp_path / "signals.npz", content)
    told, metrics = audit(path, ["lira"], tmp_path / "out")
    assert "No spread in 7 of 40 images" in told and metrics["num_without_spread"] == 7
    told, metrics = audit(save(path, arrays(models=8)), ["lira"], tmp_path / "plain")
    assert "No spread" not in told and metrics["num_without_spread"] == 0


def test_audit_writes_metrics_with_intervals_and_a_row_per_image_and_attack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "signals.npz", arrays(models=8, images=300))
    command = ["audit", "--signals", str(path), "--target-index", "2", "--attacks", "lira,rmia"]
    cli.main([*command, "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    metrics = files.read_json(tmp_path / "out" / "metrics.json")
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
    log_p = log_probability(fakes)
    two = np.stack([log_p[0] - log_p[list(p)].mean(0) for p in combinations(range(2, 6), 2)])
    found = np.isclose(two, said.forms["difficulty"].scores[40:60])
    assert (found.sum(axis=0) == 1).all() and len(np.unique(found.argmax(axis=0))) > 3
    told, metrics = audit(path, ["loss"], tmp_path / "out", resamples=100)
    own, fake = plain["loss"], said.forms["loss"].scores[40:60]
    by_hand = rate_by_hand(own, content["member"][0], fake, 0.05, own)
    assert metrics["attacks"]["loss"]["fpr_at_5pct"]["fake"]["fpr"] == pytest.approx(by_hand)
    assert f"{by_hand:.3f} [" in told and "5% FPR on held-out images" in told
    rows = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert len(rows) == 75 and not rows["member"][40:].any()


def test_a_further_set_without_out_models_has_no_score_and_that_is_told(tmp_path: Path) -> None:
    content = with_sets(arrays())
    content["member"][1:, 40:61] = True
    path = save(tmp_path / "sets.npz", content)
    told, metrics = audit(path, ["difficulty", "loss"], tmp_path / "out", resamples=20)
    assert "of further sets: difficulty fake 20, difficulty digits 1.\n" in told
    sets = {name: list(entry["fpr_at_5pct"]) for name, entry in metrics["attacks"].items()}
    judged = ["original", "fake", "digits"]
    assert sets == {"difficulty": ["original", "digits"], "loss": judged}
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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--target-index", "6"], "--target-index: got 6; allowed: 0 to 5"),
        (["--target-index", "-1"], "--target-index: got -1; allowed: 0 to 5"),
        (["--attacks", "salem"], "--attacks: none is possible: salem (no shadow model)"),
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
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "signals.npz", arrays())
    command = ["audit", "--signals", str(path), "--out", str(tmp_path / "out"), *options]
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and told in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_one_run_takes_scores_and_signals_and_says_what_it_left_out(tmp_path: Path) -> None:
    content, sets = arrays(models=8), ("members", "original")
    member, labels = content["member"], content["labels"]
    models = read_signals(save(tmp_path / "signals.npz", content))
    scores, codes = softmax(content["logits"], axis=-1), (~member).astype(np.int32)
    target, shadow = (ScoreSet(scores[k], labels, member[k], sets, codes[k]) for k in (0, 2))
    names = ["loss", "threshold", "rmia"]
    said = attack(Signals(target, shadow, models), names, {"rmia": {"a": 0.5}})
    assert list(said.forms) == ["loss", "threshold", "rmia_online", "rmia_offline"]
    assert not said.left_out and said.comparison is not None
    decided = {name for name, form in said.forms.items() if form.decisions is not None}
    assert decided == {"threshold"}
    assert said.forms["rmia_offline"].learned == {"rmia_a": 0.5}
    for form in said.forms.values():
        assert np.array_equal(form.groups["members"], np.flatnonzero(member[0]))
        assert np.array_equal(form.groups["original"], np.flatnonzero(~member[0]))
    assert attack(Signals(models=models), names).left_out == {"threshold": "no shadow model"}
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
    told, found = audit(path, COMPARING, tmp_path / "out")
    assert "No reference models: 1. Trained on the target's images, or on all others" in told
    assert "Without a score, as they lack reference models, of 40 audited images" in told
    assert ": lira_online 1, lira_online_global_variance 1.\n" in told
    assert "rmia_offline (no population images)" in told
    assert found["models_left_out"] == [1]
    # Image 3 has 4 OUT models, the others have 2.
    assert found["models_per_side"] == {"in": 1.95, "out": 2}
    unscored = {name: entry["num_unscored"] for name, entry in found["attacks"].items()}
    assert unscored == {name: int("online" in name) for name in (*LIRA, "loss", "difficulty")}
    rows = pd.read_parquet(tmp_path / "out" / "scores.parquet").groupby("attack", observed=True)
    assert rows["score"].size().to_dict() == {k: 40 - v for k, v in unscored.items()}
    content["member"][1:] = True
    told, found = audit(save(path, content), COMPARING, tmp_path / "third")
    assert "lira_offline_global_variance (40 images have fewer than 1 models not trained" in told
    assert list(found["attacks"]) == ["loss"]
    with pytest.raises(UserError, match="--attacks: none is possible: rmia_online"):
        audit(path, ["rmia"], tmp_path / "other")
