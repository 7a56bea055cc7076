"""Which stages run again after a change, by `dvc.yaml` with stages that take no time."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.helpers import ROOT, STAGES, run, set_params, stages_run

pytestmark = pytest.mark.pipeline
# A stage that writes what it read, files and parameters. Prepared images are the same whatever
# got them, and whatever other data sets there are.
STUB = """
import functools, hashlib, operator, pathlib, sys, yaml
read, keys, written = (part.split() for part in sys.argv[1:])
paths = map(pathlib.Path, read)
below = [p for path in paths for p in (path, *path.rglob("*"))]
files = sorted(p for p in below if p.is_file() and not {"datasets", "another"} & {*p.parts})
params = yaml.safe_load(open("params.yaml"))
values = [functools.reduce(operator.getitem, key.split("."), params) for key in keys]
digest = hashlib.sha256(b"".join(p.read_bytes() for p in files) + repr(values).encode())
for out in map(pathlib.Path, written):
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"{digest.hexdigest()} of {out}")
"""
BEHIND_ATTACK = {"attack", "gallery", "report"}
DESCRIBED = {"describe_scores", "embed"}
SHOWN = {"prepare_image_sets", "predict", "predict_references"}
TRAINED = {"train@target", "train@shadow", "train_references"}
CALIBRATED = {"calibrate@target", "calibrate@shadow"}
EDITED = {
    "attacks/lira.py": BEHIND_ATTACK,
    "measures/metrics.py": BEHIND_ATTACK,
    "image_sets/derived.py": SHOWN | BEHIND_ATTACK | DESCRIBED,
    "report/figures.py": {"report"},
    "datasets/fetching.py": {"prepare_dataset", "prepare_image_sets"},
}
PREDICTED = (SHOWN - {"prepare_image_sets"}) | BEHIND_ATTACK | DESCRIBED
SET: list[tuple[str, object, set[str]]] = [
    ("attack.salem.k", 2, BEHIND_ATTACK),
    ("image_sets.nonmember_sets", ["original", "patches"], SHOWN | BEHIND_ATTACK | DESCRIBED),
    ("train.lr", 0.002, TRAINED | CALIBRATED | PREDICTED),
    ("calibration.method", "temperature", CALIBRATED | PREDICTED),
]


def written(stage: str) -> list[str]:
    outs = [out for kind in ("outs", "plots", "metrics") for out in STAGES[stage].get(kind, [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in outs]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the code and the pipeline, which has run, with stages that take no time."""
    place = tmp_path_factory.mktemp("quick") / "trustmia"
    shutil.copytree(ROOT / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, place)
    (place / "stub.py").write_text(STUB)
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    for name, stage in pipeline["stages"].items():
        read, params = STAGES[name]["deps"], STAGES[name].get("params", [])
        keys = [key for key in params if isinstance(key, str)]
        parts = (" ".join(part) for part in (read, keys, written(name)))
        stage.get("do", stage)["cmd"] = "python stub.py " + " ".join(f"'{p}'" for p in parts)
        for path in read:
            if path.startswith(("data", "models/", "study")):
                (place / path).mkdir(parents=True, exist_ok=True)
                (place / path / "file").touch()
    (place / "dvc.yaml").write_text(yaml.safe_dump({"stages": pipeline["stages"]}))
    run(place, "dvc", "init", "--no-scm", "--quiet")
    run(place, "dvc", "repro")
    return place


@pytest.fixture
def copy(quick: Path, tmp_path: Path) -> Path:
    return shutil.copytree(quick, tmp_path / "trustmia")


def rerun(place: Path) -> set[str]:
    return set(stages_run(run(place, "dvc", "repro").stdout))


@pytest.mark.parametrize("edited", EDITED)
def test_edit_reruns_what_it_decides_about_alone(edited: str, copy: Path) -> None:
    with (copy / "src" / "trustmia" / edited).open("a") as code:
        code.write("# edited\n")
    assert rerun(copy) == EDITED[edited]


@pytest.mark.parametrize(("key", "value", "expected"), SET)
def test_parameter_reruns_what_it_decides_about_alone(
    key: str, value: object, expected: set[str], copy: Path
) -> None:
    set_params(copy, {key: value})
    assert rerun(copy) == expected


def test_what_was_trained_before_is_not_trained_again(copy: Path) -> None:
    before = (copy / "params.yaml").read_text(encoding="utf-8")
    set_params(copy, {"train.lr": 0.002})
    assert rerun(copy) >= TRAINED
    (copy / "params.yaml").write_text(before, encoding="utf-8")
    set_params(copy, {"calibration.method": "temperature"})
    again = rerun(copy)
    assert again >= CALIBRATED and not again & TRAINED, "the run cache has them"


def test_another_data_set_trains_nothing_again(copy: Path) -> None:
    (copy / "data/another").mkdir()
    (copy / "data/another/file").write_text("new")
    assert rerun(copy) == {"prepare_dataset", "prepare_image_sets"}
