"""A DVC repository whose experiments take no time, for tests of many of them.

Its files are those of the real pipeline, its stages a few lines. Switches, files beside
the repository, let a training fail or wait, and every training leaves a line there.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.helpers import ROOT, environment, git, run
from trustmia import cli, files

TRAIN = """
import json, pathlib, sys, time, yaml
beside = pathlib.Path({beside!r})
params = yaml.safe_load(open("params.yaml"))
key = f"{{params['seed']}} {{params['train']['weight_decay']}}"
with open(beside / "trainings", "a") as trainings:
    print(key, file=trainings)
if (beside / "broken").exists() and params["train"]["weight_decay"] > 0:
    sys.exit("the loss is not finite")
while (beside / "hold").exists():
    time.sleep(0.1)
time.sleep(0.3)
accuracy = 0.8 + params["seed"] % 10 / 100 - params["train"]["weight_decay"]
pathlib.Path("metrics").mkdir(exist_ok=True)
pathlib.Path("metrics/train_target.json").write_text(
    json.dumps({{"train": {{"accuracy": 1.0}}, "test": {{"accuracy": accuracy}}}})
)
"""
ATTACK = """
import json, pathlib, shutil
accuracy = json.load(open("metrics/train_target.json"))["test"]["accuracy"]
fitted = {"accuracy": accuracy, "nll": 0.5, "ece": 0.1, "overconfidence_error": 0.09, "mmps": 0.97}
reached = {"precision": accuracy / 2, "recall": 0.9, "paper_auroc": 0.6}
rows = ["attack,set,metric,value,low,high,n"]
for name, fpr in {"original": 0.75, "fake": 0.7}.items():
    found = reached | {"fpr": fpr}
    rows += [f"threshold,{name},{key},{value},,,20" for key, value in found.items()]
pathlib.Path("metrics/results.csv").write_text("\\n".join(rows))
calibration = {"before": fitted, "after": fitted}
pathlib.Path("metrics/calibration_target.json").write_text(json.dumps(calibration))
pathlib.Path("plots/roc").mkdir(parents=True, exist_ok=True)
curve = "set,fpr,tpr\\noriginal,0.0,0.0\\noriginal,0.5,0.6\\noriginal,1.0,1.0\\n"
pathlib.Path("plots/roc/threshold.csv").write_text(curve)
pathlib.Path("outputs/gallery").mkdir(parents=True, exist_ok=True)
shutil.copy("gallery.parquet", "outputs/gallery")
"""
STAGES: dict[str, Any] = {
    "train": {
        "cmd": "python train.py",
        "deps": ["train.py"],
        "params": ["seed", "train"],
        "metrics": [{"metrics/train_target.json": {"cache": False}}],
    },
    "attack": {
        "cmd": "python attack.py",
        "deps": ["attack.py", "metrics/train_target.json"],
        "params": ["calibration"],
        "outs": [{"plots/roc": {"cache": False}}, "outputs/gallery"],
        "metrics": [
            {"metrics/calibration_target.json": {"cache": False}},
            {"metrics/results.csv": {"cache": False}},
        ],
    },
    "report": {"cmd": "python no_report.py", "deps": ["metrics/results.csv"]},
}
VARIANTS: dict[str, Any] = {
    "standard": {},
    "weight_decay": {"train.weight_decay": 0.001},
    "temperature_10": {"calibration.method": "temperature", "calibration.temperature": 10.0},
}


@dataclass(frozen=True)
class TinyRepository:
    """The repository and the files beside it."""

    root: Path

    @property
    def beside(self) -> Path:
        return self.root.parent

    def trainings(self) -> list[str]:
        """Return `SEED WEIGHT_DECAY` of every training that started, in order."""
        path = self.beside / "trainings"
        return path.read_text().splitlines() if path.exists() else []

    def switch(self, name: str, on: bool) -> None:
        """Let trainings with weight decay fail (`broken`), or all of them wait (`hold`)."""
        if on:
            (self.beside / name).touch()
        else:
            (self.beside / name).unlink()

    def write_grid(self, variants: dict[str, Any], seeds: list[int]) -> None:
        content = {"variants": variants, "seeds": seeds, "targets": ["attack"]}
        path = self.root / "studies" / "default.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def run(self, *command: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run a command there with the project's own code."""
        own = tiny_environment(self.root)
        return run(self.root, *command, code=code, timeout=300, own=own)

    def trustmia(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run the project's command there in this process, which has loaded everything."""
        out, errors = io.StringIO(), io.StringIO()
        ended = 0
        with contextlib.chdir(self.root), redirect_stdout(out), redirect_stderr(errors):
            try:
                cli.main(arguments)
            except SystemExit as end:
                ended = int(end.code or 0)
        result = subprocess.CompletedProcess(arguments, ended, out.getvalue(), errors.getvalue())
        assert result.returncode == code, f"{arguments}\n{result.stdout}\n{result.stderr}"
        return result

    def names(self) -> list[str]:
        """Return the names of the experiments of the current commit."""
        listed = git(self.root, "for-each-ref", "--format=%(refname)", "refs/exps")
        head = git(self.root, "rev-parse", "HEAD").strip()
        place = f"refs/exps/{head[:2]}/{head[2:]}/"
        return sorted(n.removeprefix(place) for n in listed.split() if n.startswith(place))

    def queue(self) -> dict[str, str]:
        """Return the states of DVC's tasks by their names."""
        lines = self.run("dvc", "queue", "status").stdout.splitlines()
        rows = [line.split() for line in lines if line.endswith(("ed", "ing", "Success"))]
        return {row[1]: row[-1] for row in rows}


def write_lock(root: Path) -> None:
    """Write the dvc.lock of a repository whose stages, but the report, have just run."""
    params = json.loads((root / "params.yaml").read_text())
    stages = {}
    for name, stage in list(STAGES.items())[:2]:
        outs = [out for kind in ("outs", "metrics") for out in stage.get(kind, [])]
        written = [next(iter(out)) for out in outs if isinstance(out, dict)]
        stages[name] = {
            "cmd": stage["cmd"],
            "deps": [_entry(root, path) for path in stage["deps"]],
            "params": {"params.yaml": {key: params[key] for key in stage["params"]}},
            "outs": [_entry(root, path) for path in written if (root / path).is_file()],
        }
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


def _entry(root: Path, path: str) -> dict[str, str]:
    return {"path": path, "hash": "md5", "md5": files.md5(root / path)}


def tiny_environment(root: Path) -> dict[str, str]:
    return environment(root) | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def make_tiny_repository(place: Path) -> TinyRepository:
    """Make the repository and run its experiment once with the default parameters."""
    root = place / "tiny"
    root.mkdir(parents=True)
    git(root, "init", "--quiet", "--initial-branch", "main")
    run(root, "dvc", "init", "--quiet")
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    (root / "train.py").write_text(TRAIN.format(beside=str(place)))
    (root / "attack.py").write_text(ATTACK)
    picture = {"set": "fake", "rank": 0, "score": 0.9, "predicted": "Coat", "true": ""}
    pd.DataFrame([picture | {"png": b"a picture"}]).to_parquet(root / "gallery.parquet")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    (root / ".gitignore").write_text("/outputs\n")
    tiny = TinyRepository(root)
    tiny.write_grid(VARIANTS, [43])
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A tiny experiment")
    return tiny
