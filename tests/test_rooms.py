"""The rooms of the package: what they import, and which stages a change in them reruns."""

import graphlib
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.helpers import ROOT, STAGES, run, stages_run
from tests.imports import MODULES, addresses, foreign, imports, room

# These carry what others decide: messages, paths, bytes. A change in them moves no result.
# What `params` imports only checks values, and stages depend on parameters by their values.
CARRIERS = {
    "trustmia",
    "trustmia.arrays",
    "trustmia.errors",
    "trustmia.files",
    "trustmia.params",
    "trustmia.paths",
    "trustmia.registry",
    "trustmia.settings",
    "trustmia.stages",
    "trustmia.torchvision_compat",
    "trustmia.yaml_files",
}
REGISTRY = "trustmia.registry"
# From the ground up: a room imports from those below it.
FLOORS = [
    {"images"},
    {"runtime"},
    {"datasets", "splits"},
    {"image_sets"},
    {"classifiers", "generators"},
    {"calibration"},
    {"references"},
    {"signals"},
    {"attacks"},
    {"measures", "exhibits"},
    {"params"},
    {"study", "paper"},
    {"report"},
    {"commands", "stages"},
    {"cli"},
]
HEIGHTS = {name: height for height, floor in enumerate(FLOORS, 1) for name in floor}

# A stage that writes what it read. Data sets are the same whatever gets them.
STUB = """
import hashlib, pathlib, sys
paths = list(map(pathlib.Path, sys.argv[1:]))
split = sys.argv.index("--") - 1
below = [p for path in paths[:split] for p in (path, *path.rglob("*"))]
files = sorted(p for p in below if p.is_file() and "datasets" not in p.parts)
content = hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()
for out in paths[split + 1 :]:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"{content} of {out}")
"""
BEHIND_ATTACK = {"attack", "gallery", "report"}
SHOWN = {"prepare_image_sets", "predict@target", "predict@shadow", "predict_references"}
RERUN = {
    "attacks/lira.py": BEHIND_ATTACK,
    "measures/metrics.py": BEHIND_ATTACK,
    "image_sets/derived.py": SHOWN | BEHIND_ATTACK | {"describe_scores", "embed"},
    "report/figures.py": {"report"},
    "datasets/fetching.py": {"prepare_dataset", "prepare_image_sets"},
}


def reached(start: str) -> set[str]:
    """Return all that a module runs or looks up in a registry, at any depth, carriers aside."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module not in found | CARRIERS:
            found.add(module)
            named = imports(module) | (addresses(module) if REGISTRY in imports(module) else set())
            waiting += [*named, *(name.rpartition(".")[0] for name in named)]
    return found


def covers(dependency: str, path: str) -> bool:
    return f"{path}/".startswith(f"{dependency}/")


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_the_code_that_decides_and_on_no_other(stage: str) -> None:
    used = {MODULES[module] for module in reached(f"trustmia.stages.{stage}")}
    declared = {path for path in STAGES[stage]["deps"] if path.startswith("src/")}
    assert {path for path in used if not any(covers(d, path) for d in declared)} == set()
    assert {d for d in declared if not any(covers(d, path) for path in used)} == set()
    single = {Path(d).parent.name for d in declared if d.endswith(".py")}
    assert single == {"stages"}, "all other dependencies are rooms, not modules"


def test_carriers_are_there_and_reached() -> None:
    everything = set().union(*(imports(module) for module in MODULES))
    assert everything | {"trustmia.stages"} >= CARRIERS


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    height = HEIGHTS.get(room(module), 0)
    for other in imports(module):
        if room(other) != room(module):
            assert HEIGHTS.get(room(other), 0) < max(height, 1), f"{module} imports {other}"


def test_every_floor_has_its_rooms() -> None:
    assert {room(module) for module in MODULES} >= set(HEIGHTS)


def test_no_modules_import_each_other() -> None:
    graphlib.TopologicalSorter({module: imports(module) for module in MODULES}).prepare()


def test_of_dvc_only_its_documented_interface_is_imported() -> None:
    """Everything else in it changes without notice: the commands are for that."""
    pattern = re.compile(r"^ *(?:from|import) ((?:dvc(?:_\w+)?|scmrepo|celery)\b[.\w]*)", re.M)
    code = [
        path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    ]
    imported = {name for path in code for name in pattern.findall(path.read_text("utf-8"))}
    assert imported == {"dvc.api"}


def test_only_stages_import_the_stages_helpers_and_nothing_imports_a_stage() -> None:
    named = {(room(m), other) for m in MODULES for other in imports(m) if room(other) == "stages"}
    assert {name for name, _ in named} == {"stages"}
    assert all(other.rpartition(".")[2].startswith("_") for _, other in named)


@pytest.mark.parametrize("name", ["signals", "attacks", "measures"])
def test_what_models_say_is_judged_without_images_and_models(name: str) -> None:
    found = {module for module in MODULES if room(module) == name}
    waiting = list(found)
    while waiting:
        new = imports(waiting.pop()) - found
        found |= new
        waiting += new
    assert not {room(module) for module in found} & {"images", "classifiers", "generators"}


def test_image_sets_are_known_without_importing_anything() -> None:
    assert imports("trustmia.image_sets") | foreign("trustmia.image_sets") == set()


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
        read = STAGES[name]["deps"]
        stage.get("do", stage)["cmd"] = " ".join(["python stub.py", *read, "--", *written(name)])
        for path in read:
            if path.startswith(("data", "models/", "study")):
                (place / path).mkdir(parents=True, exist_ok=True)
                (place / path / "file").touch()
    (place / "dvc.yaml").write_text(yaml.safe_dump({"stages": pipeline["stages"]}))
    run(place, "dvc", "init", "--no-scm", "--quiet")
    run(place, "dvc", "repro")
    return place


@pytest.mark.parametrize("edited", RERUN)
def test_edit_reruns_what_it_decides_about_alone(edited: str, quick: Path, tmp_path: Path) -> None:
    place = tmp_path / "trustmia"
    shutil.copytree(quick, place)
    with (place / "src" / "trustmia" / edited).open("a") as code:
        code.write("# edited\n")
    assert set(stages_run(run(place, "dvc", "repro").stdout)) == RERUN[edited]
