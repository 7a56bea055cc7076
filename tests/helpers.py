"""A clone of the repository to run real DVC in."""

import functools
import os
import re
import shutil
import subprocess
import sys
from operator import getitem
from pathlib import Path
from typing import Any

import yaml

from tests import warm
from trustmia.paper.configurations import configured
from trustmia.params import Params, validated
from trustmia.yaml_files import parse_yaml

ROOT = Path(__file__).resolve().parent.parent
# Numbers that published code gives; see README.md there.
REFERENCE = ROOT / "tests" / "fixtures" / "reference"
SMALL = {
    "threads": 1,
    "split.train_size": 300,
    "split.validation_size": 200,
    "split.test_size": 300,
    "split.attack_members": 300,
    "split.attack_nonmembers": 300,
    "train.epochs": 8,
    "references.count": 2,
    "references.parallel": "none",
    "generate.num_images": 100,
    "image_sets.max_images": 300,
    "image_sets.num_patches": 100,
    "attack.salem.max_epochs": 20,
    "attack.resamples": 50,
    "predict.feature_images": 40,
}
WRITTEN_BY_DVC = ("dvc.lock", "*.dvc", "metrics", "plots")
# The stages of dvc.yaml; those that there are several of once, as they are written.
STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage)
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))[
        "stages"
    ].items()
}


def environment(repository: Path, fast: bool = False) -> dict[str, str]:
    """Return an environment in which commands use the repository's own code.

    Args:
        repository: Where its `src` lies.
        fast: Whether programs of Python are those of `tests.warm`, which start at once.
    """
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Tester"), ("EMAIL", "tester@example.org"))
    }
    binaries = str(Path(sys.executable).parent)
    if fast and sys.platform == "linux":
        binaries = f"{warm.folder()}{os.pathsep}{binaries}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "GIT_"))}
    return (
        kept
        | identity
        | {
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(repository / "src"),
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
    )


def run(
    repository: Path,
    *command: str,
    code: int = 0,
    timeout: float = 600,
    own: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository and insist on its exit code.

    Args:
        repository: Where to run it.
        command: The command, word by word.
        code: The exit code that it must have.
        timeout: Seconds.
        own: The whole environment, if not the fast one of `environment`.
    """
    result = subprocess.run(
        command,
        cwd=repository,
        env=own or environment(repository, fast=command[0] in warm.PROGRAMS),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert result.returncode == code, f"{command}\n{result.stdout}\n{result.stderr}"
    return result


def git(repository: Path, *arguments: str) -> str:
    """Run git and return what it printed."""
    return run(repository, "git", *arguments).stdout


def clone_working_tree(place: Path) -> Path:
    """Clone the repository; changes that are not committed yet come along as a commit.

    What DVC wrote comes along as it is staged, since no remote has the objects of a run that
    is not published, and README.md with it, whose tables are of the same run.
    """
    git(ROOT, "clone", "--quiet", str(ROOT), str(place))
    of_runs = list(WRITTEN_BY_DVC)
    if git(ROOT, "diff", "--name-only", *of_runs):
        of_runs.append("README.md")
    staged, published = (git(where, "ls-files", *of_runs).splitlines() for where in (ROOT, place))
    git(ROOT, "checkout-index", "--force", f"--prefix={place}/", *staged)
    for name in set(published) - set(staged):
        (place / name).unlink()
    others = [".", *(f":(exclude){name}" for name in of_runs)]
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *others)
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, place / name
        if not source.exists():
            copy.unlink(missing_ok=True)
        elif not copy.exists() or source.read_bytes() != copy.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            shutil.copy(source, copy)
    git(place, "add", "--all")
    if git(place, "status", "--porcelain"):
        git(place, "commit", "--quiet", "--message", "Working tree")
    return place


def set_params(repository: Path, values: dict[str, object]) -> None:
    """Change values of `params.yaml`, given by their full keys."""
    path = repository / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        *sections, name = key.split(".")
        functools.reduce(getitem, sections, params)[name] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


@functools.cache
def paper_params(name: str) -> Params:
    """Return the parameters of a configuration of the paper."""
    return validated(parse_yaml(configured(ROOT / "params.yaml", name)), name)


def without_study(repository: Path) -> None:
    """Give a clone a study of no experiments, so that its report is about its run alone."""
    shutil.rmtree(repository / "study", ignore_errors=True)
    (repository / "study").mkdir()
    run(repository, "dvc", "add", "study")


def documented(page: str, label: str) -> list[str]:
    """Return the commands of a page's blocks after `<!-- tested: LABEL -->`, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    marked = rf"<!-- tested: {label} -->\n```bash\n(.*?)```"
    blocks = re.findall(marked, text, flags=re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    assert any(lines), f"{page} has no commands called {label}"
    return [line for line in lines if line]


def stages_run(output: str) -> list[str]:
    """Return the stages that a `dvc repro` or `dvc exp run` really ran."""
    lines = output.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage")]
