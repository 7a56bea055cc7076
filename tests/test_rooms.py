"""The rooms of the package: what they import, and that stages depend on them."""

import graphlib
import re
from pathlib import Path

import pytest

from tests.helpers import ROOT, STAGES
from tests.imports import MODULES, SRC, addresses, foreign, imports, room

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


def test_tests_lie_in_folders_that_are_the_rooms() -> None:
    tested = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert tested == {path.parent.name for path in (SRC / "trustmia").glob("*/__init__.py")}


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
