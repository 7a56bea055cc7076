"""What `dvc.yaml` promises about every stage."""

from pathlib import Path
from typing import Any

import pytest

from tests.helpers import ROOT, STAGES, run
from trustmia.errors import UserError
from trustmia.stages._inputs import read_split


@pytest.mark.parametrize("name", STAGES)
def test_stage_is_the_module_of_its_name(name: str) -> None:
    assert STAGES[name]["cmd"].split()[:3] == ["python", "src/stage.py", name]


@pytest.mark.parametrize("name", [name for name in STAGES if name.startswith("train")])
def test_trainings_are_kept_by_the_run_cache(name: str) -> None:
    # DVC passes over stages with outs that are in git and neither metrics nor plots.
    assert all(isinstance(out, str) for out in STAGES[name]["outs"])


@pytest.mark.parametrize("name", ["train", "calibrate"])
@pytest.mark.parametrize("arguments", [[], ["attacker"]])
def test_role_that_is_missing_or_unknown_is_told_in_one_line(
    name: str, arguments: list[str]
) -> None:
    result = run(ROOT, "python", "src/stage.py", name, *arguments, code=2)
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert "role" in result.stderr and "--help" in result.stderr


def test_missing_split_names_the_stage_to_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"outputs/split/target.npz: not found; run `dvc repro split`"
    ):
        read_split("target")


def test_damaged_split_names_what_brings_it_back(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("outputs/split/target.npz")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"not readable .* run `dvc checkout outputs/split"):
        read_split("target")
