"""The experiment, run for real at small size through DVC in a clone."""

import csv
import hashlib
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.attacks.attacking import LEARNED
from tests.helpers import documented, git, run, set_params, stages_run
from trustmia.measures.views import COLUMNS
from trustmia.report import readme

pytestmark = pytest.mark.pipeline
SETS = ["original", "permuted", "scaled", "no_normalization", "fake", "digits", "patches"]


def digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_pull_from_the_embedded_remote_leaves_nothing_to_do(pulled: Path) -> None:
    assert "up to date" in run(pulled, "dvc", "status").stdout
    assert stages_run(run(pulled, "dvc", "repro").stdout) == []
    assert git(pulled, "status", "--porcelain") == ""


def test_pull_brings_data_models_and_outputs(pulled: Path) -> None:
    for place in (
        "data/FashionMNIST/LICENSE",
        "models/generator/model.safetensors",
        "models/classifiers/standard/target.json",
        "outputs/fakes/images.npy",
        "outputs/scores/target.npz",
    ):
        assert (pulled / place).is_file(), place


def test_readme_tables_are_those_of_the_committed_run(pulled: Path) -> None:
    before = (pulled / "README.md").read_text(encoding="utf-8")
    run(pulled, "trustmia", "results", "--update", "README.md")
    assert (pulled / "README.md").read_text(encoding="utf-8") == before


def test_result_table_has_every_attack_and_set(small: Path) -> None:
    with (small / "metrics/attack_results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Set"] for row in rows] == SETS
    expected = [f"{form.title} Attack {column}" for form in LEARNED.values() for column in COLUMNS]
    assert list(rows[0]) == ["Set", *expected]
    printed = run(small, "trustmia", "results").stdout
    for name in [*SETS, *(form.title for form in LEARNED.values())]:
        assert name in printed


def test_generated_images_come_back_identical(restored: Path) -> None:
    fakes = restored / "outputs/fakes"
    before = digest(fakes)
    (fakes / "labels.npy").unlink()
    (fakes / "images.npy").write_bytes(b"spoilt")
    refused = run(restored, "python", "src/stage.py", "predict", code=2)
    assert "outputs/fakes/images.npy" in refused.stderr and "dvc checkout" in refused.stderr
    run(restored, "dvc", "checkout", "--force", "outputs/fakes")
    assert digest(fakes) == before
    (fakes / "images.npy").unlink()
    run(restored, "dvc", "repro", "generate")
    assert digest(fakes) == before


def test_the_same_seed_gives_the_same_bytes(restored: Path) -> None:
    folders = [restored / "outputs" / name for name in ("classifiers/shadow", "fakes", "split")]
    before = [digest(folder) for folder in folders]
    scores = digest(restored / "outputs/scores")
    run(restored, "dvc", "repro", "--force", "--single-item", "split", "generate")
    run(restored, "dvc", "repro", "--force", "--single-item", "train@shadow")
    run(restored, "dvc", "repro", "--force", "--single-item", "predict", "attack")
    assert [digest(folder) for folder in folders] == before
    assert digest(restored / "outputs/scores") == scores
    assert git(restored, "status", "--porcelain") == ""


@pytest.mark.parametrize("method", ["temperature", "llla"])
def test_calibration_changes_scores(restored: Path, method: str) -> None:
    set_params(restored, {"calibration.method": method})
    run(restored, "python", "src/stage.py", "calibrate", "target")
    metrics = json.loads((restored / "metrics/calibration_target.json").read_text())
    assert metrics["after"]["nll"] != metrics["before"]["nll"]
    assert set(metrics["after"]) >= {"accuracy", "nll", "ece", "overconfidence_error"}


def test_generator_and_judge_train_from_scratch(restored: Path) -> None:
    changes: dict[str, object] = {"generator.source": "scratch", "generator.epochs": 1}
    changes |= {"generator.width": 8, "generator.discriminator_width": 8}
    changes |= {"judge.source": "scratch", "judge.epochs": 1}
    changes |= {"split.pool_size": 68500, "split.generator_holdout_size": 500}
    set_params(restored, changes)
    ran = stages_run(run(restored, "dvc", "repro", "evaluate_generator").stdout)
    stages = {"split", "train_generator", "train_judge", "generate", "evaluate_generator"}
    assert set(ran) == stages
    card = json.loads((restored / "outputs/generator/model.json").read_text())
    assert card["data"]["images"] == 1000
    assert len(card["history"]) == 1
    quality = json.loads((restored / "metrics/generator.json").read_text())
    assert quality["held_out"]["frechet_distance"] < quality["fake"]["frechet_distance"]


def test_pretrained_classifiers_that_do_not_fit_are_refused(restored: Path) -> None:
    command = ["dvc", "exp", "run", "-S", "train.source=pretrained", "train@target"]
    failed = run(restored, *command, code=255)
    message = next(line for line in failed.stderr.splitlines() if line.startswith("train:"))
    assert "train.source" in message and "train.epochs 50 rather than 8" in message
    assert "other training images" in message and "Traceback" not in failed.stderr


def test_pretrained_classifiers_are_those_of_the_default_experiment(
    pulled: Path, tmp_path: Path
) -> None:
    git(pulled, "clone", "--quiet", str(pulled), str(tmp_path / "clone"))
    place = tmp_path / "clone"
    run(place, "dvc", "cache", "dir", str(pulled / ".dvc/cache"), "--local")
    run(place, "dvc", "checkout")
    set_params(place, {"train.source": "pretrained"})
    stages = ("train@target", "train@shadow", "predict")
    assert stages_run(run(place, "dvc", "repro", "--single-item", *stages).stdout) == [*stages]
    weights = [
        place / name
        for name in (
            "outputs/classifiers/target/model.safetensors",
            "models/classifiers/standard/target.safetensors",
        )
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    file = "metrics/train_target.json"
    assert (place / file).read_bytes() == (pulled / file).read_bytes()
    # Computed here from those weights, and elsewhere: only rounding differs.
    here, there = (np.load(p / "outputs/scores/target.npz")["logits"] for p in (place, pulled))
    np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("train.lr=-1", ["train.lr", "-1", "above 0"]),
        ("train.epochs=many", ["train.epochs", "'many'", "whole number"]),
        ("train.arch=vgg", ["train.arch", "salem_cnn, resnet18, efficientnet_b0"]),
        ("split.train_size=9000", ["split", "at most 15000"]),
        ("+train.momentum=0.9", ["train.momentum", "unknown key", "weight_decay"]),
    ],
)
def test_a_bad_parameter_stops_a_stage_before_it_works(
    restored: Path, change: str, words: list[str]
) -> None:
    failed = run(restored, "dvc", "exp", "run", "-S", change, code=255)
    message = next(line for line in failed.stderr.splitlines() if "params.yaml:" in line)
    assert all(word in message for word in words), message
    assert "Traceback" not in failed.stderr


def test_missing_data_names_the_command_that_gets_it(restored: Path) -> None:
    run(restored, "mv", "data", "elsewhere")
    try:
        failed = run(restored, "python", "src/stage.py", "prepare_dataset", code=2)
    finally:
        run(restored, "mv", "elsewhere", "data")
    assert "dvc pull data.dvc" in failed.stderr and "trustmia fetch fashion_mnist" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def queue_states(place: Path) -> list[str]:
    shown = run(place, "dvc", "queue", "status").stdout
    return re.findall(r"\b(Queued|Running|Success|Failed)\b", shown)


def wait_for_queue(place: Path, count: int) -> None:
    """Wait until so many experiments have succeeded; DVC shows none while it takes one up."""
    deadline = time.monotonic() + 600
    while (states := queue_states(place)).count("Success") < count:
        assert "Failed" not in states
        assert time.monotonic() < deadline, "the queue did not finish in ten minutes"
        time.sleep(2)


def readme_commands() -> list[str]:
    return documented("README.md", "dvc") + documented("docs/remotes.md", "dvc")


def test_readme_shows_every_way_of_using_dvc() -> None:
    shown = "\n".join(readme_commands())
    for command in (
        "dvc pull",
        "dvc repro",
        "dvc exp run -S train.label_smoothing=0.1 -n smoothing",
        "dvc exp run --queue",
        "dvc queue start",
        "dvc exp show",
        "dvc metrics diff",
        "dvc plots diff",
        "dvc remote add",
        "dvc push",
    ):
        assert command in shown


def test_readme_commands_work_as_printed(restored: Path, tmp_path: Path) -> None:
    other = tmp_path / "team-remote"
    for command in readme_commands():
        queued = queue_states(restored).count("Queued") if "queue start" in command else 0
        run(restored, *command.replace("/mnt/team/trustmia", str(other)).split())
        if queued:
            wait_for_queue(restored, queued)
    shown = json.loads(run(restored, "dvc", "exp", "show", "--json").stdout)
    names = {e["name"] for group in shown for e in (group["experiments"] or [])}
    assert "smoothing" in names and len(names) >= 3
    assert queue_states(restored) == ["Success"] * 2
    git(restored, "checkout", "--quiet", "-b", "pushed")
    git(restored, "commit", "--quiet", "--all", "--message", "What was pushed")
    elsewhere = tmp_path / "clone"
    git(restored, "clone", "--quiet", str(restored), str(elsewhere))
    git(restored, "checkout", "--quiet", "-")
    run(elsewhere, "dvc", "pull", "outputs/scores/target.npz")
    assert (elsewhere / "outputs/scores/target.npz").is_file()


def test_dvc_draws_every_file_of_points(pulled: Path) -> None:
    shown = json.loads(run(pulled, "dvc", "plots", "show", "--json").stdout)["data"]
    points = {path.relative_to(pulled).as_posix() for path in pulled.glob("plots/**/*.[ct]sv")}
    assert points - set(shown) == {"plots/score_density.csv"}
    assert len(points) > 15 and "plots/fakes.png" in shown


def test_published_checkpoints_are_artifacts(pulled: Path, tmp_path: Path) -> None:
    artifacts = yaml.safe_load((pulled / "dvc.yaml").read_text())["artifacts"]
    assert all((pulled / artifact["path"]).exists() for artifact in artifacts.values())
    assert all({"type", "desc", "labels"} < artifact.keys() for artifact in artifacts.values())
    clone = tmp_path / "clone"
    git(pulled, "clone", "--quiet", str(pulled), str(clone))
    for name in ("target", "generator"):
        git(clone, "tag", "--annotate", f"{name}@v1.0.0", "--message", "First")
        run(tmp_path, "dvc", "artifacts", "get", str(clone), name)
    for got in ("target.safetensors", "generator/model.safetensors"):
        published = next((pulled / "models").rglob(got))
        assert (tmp_path / got).read_bytes() == published.read_bytes()


def test_with_tables_refuses_a_text_without_markers() -> None:
    with pytest.raises(Exception, match="has no <!-- answer -->"):
        readme.with_tables("nothing here", "README.md")


def test_results_before_any_run_name_what_to_run(tmp_path: Path) -> None:
    for arguments in (["results"], ["export-models", "mine"]):
        failed = run(tmp_path, "trustmia", *arguments, code=2)
        assert failed.stderr.count("\n") == 1 and "run `dvc" in failed.stderr
