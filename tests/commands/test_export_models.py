"""`trustmia export-models` of a run, to the training that takes what it exported."""

import datetime
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from tests.helpers import set_params
from tests.tiny_data import prepare_tiny_data
from trustmia import cli, files, paths
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.stages import train

QUALITY = {"fakes": {"recognised": 0.5}}
PAIR = [f"models/classifiers/mine/{role}.safetensors" for role in ("target", "shadow")]
OTHERS = ["models/generator/model.safetensors", "models/judge/model.safetensors"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to the folder of a run, whose generator and judge have no images to draw or to judge."""
    prepare_tiny_data(tmp_path, monkeypatch, {})
    for role in ("target", "shadow"):
        train.main(role)
    for place, kind in ((paths.GENERATOR, "generator"), (paths.JUDGE, "classifier")):
        checkpoints.save(place / "model", Checkpoint({"w": torch.arange(3.0)}, {"kind": kind}))
    files.write_json(paths.METRICS / "generator.json", QUALITY)
    out = {"path": "metrics/generator.json", "md5": files.md5(paths.METRICS / "generator.json")}
    for name, noted in (("dvc.yaml", {}), ("dvc.lock", {"outs": [out]})):
        files.write_text(Path(name), yaml.safe_dump({"stages": {"x": {"cmd": "x"} | noted}}))


def exported(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    cli.main(["export-models", "mine"])
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out.splitlines()


@pytest.mark.usefixtures("run")
def test_exported_models_are_those_of_the_run_and_are_taken_instead_of_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained = Path("outputs/classifiers/shadow/model.safetensors").read_bytes()
    assert exported(capsys) == [*PAIR, *OTHERS]
    assert Path(PAIR[1]).read_bytes() == trained
    for weights in map(Path, [*PAIR, *OTHERS]):
        card = checkpoints.load(weights.with_suffix("")).card
        assert card["sha256"] == files.sha256(weights)
        assert card["date"] == datetime.datetime.now(datetime.UTC).date().isoformat()
    assert checkpoints.load_card(Path("models/generator/model"))["metrics"] == QUALITY
    set_params(Path(), {"train.source": "pretrained"})
    shutil.rmtree("outputs/classifiers")
    train.main("shadow")
    assert Path("outputs/classifiers/shadow/model.safetensors").read_bytes() == trained


@pytest.mark.usefixtures("run")
def test_only_other_models_are_exported_again(capsys: pytest.CaptureFixture[str]) -> None:
    exported(capsys)
    card_path, stem = (
        Path("models/classifiers/mine/target.json"),
        paths.CLASSIFIERS / "target/model",
    )
    files.write_json(card_path, files.read_json(card_path) | {"date": "2001-02-03"})
    exported(capsys)
    assert files.read_json(card_path)["date"] == "2001-02-03"
    stem = paths.CLASSIFIERS / "target" / "model"
    other = checkpoints.load(stem)
    tensors = {name: tensor + 1 for name, tensor in other.tensors.items()}
    checkpoints.save(stem, Checkpoint(tensors, other.card))
    exported(capsys)
    assert files.read_json(card_path)["date"] != "2001-02-03"


@pytest.mark.usefixtures("run")
def test_models_of_others_and_none_are_not_exported(capsys: pytest.CaptureFixture[str]) -> None:
    for place, kind in ((paths.GENERATOR, "stylegan2_ada"), (paths.JUDGE, "none")):
        checkpoints.save(place / "model", Checkpoint({}, {"kind": kind}))
    assert exported(capsys) == PAIR
    assert {path.name for path in Path("models").iterdir()} == {"classifiers"}


@pytest.mark.usefixtures("run")
def test_an_interrupted_export_is_told_apart_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(path: Path, content: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", interrupted)
        with pytest.raises(SystemExit) as stopped:
            exported(capsys)
    assert stopped.value.code == 130
    assert not list(Path("models").rglob("*.json")), "without a card, weights are no checkpoint"
    assert exported(capsys) == [*PAIR, *OTHERS]
    assert checkpoints.load(Path("models/classifiers/mine/target")).tensors
