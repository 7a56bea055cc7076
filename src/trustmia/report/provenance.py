"""What produced a report: inputs by their hashes, parameters, software, hardware, time."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from trustmia import files, paths
from trustmia.yaml_files import parse_yaml

PACKAGES = ("trustmia", "torch", "numpy", "pandas", "scipy", "scikit-learn", "altair", "dvc")
INPUTS = ("data.dvc", "models.dvc", "study.dvc")
PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
# The stage that writes the report: what it wrote before says nothing about this one.
STAGE = "report"


@dataclass(frozen=True)
class Provenance:
    """What the page says about where it comes from.

    Attributes:
        facts: Heading → name → value.
        experiments: `experiment`, `variant`, `seed`, `rev`, `date`, `changes`; empty
            without a study.
    """

    facts: dict[str, dict[str, str]]
    experiments: pd.DataFrame


def read_provenance(experiments: pd.DataFrame | None) -> Provenance:
    """Gather it from the repository that is the current folder, and a study's experiments, if any.

    Nothing of it changes while the inputs stay: a commit of HEAD, or today's date, would
    give another report for the same results. So revisions and dates are those of the
    experiments and of the checkpoints.
    """
    experiments = pd.DataFrame() if experiments is None else experiments
    facts = {
        "Time": _times(experiments),
        "Inputs": _inputs(),
        "Checkpoints, SHA-256": _checkpoints("sha256"),
        "Threads in training": _checkpoints("threads"),
        "Outputs of the run, MD5 in dvc.lock": _outputs(),
        "Parameters of the run": _flat(_yaml(PARAMS)),
        "Software": _software(),
        "Hardware": {
            "processor": _processor(),
            "logical cores": str(os.cpu_count()),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }
    return Provenance({title: named for title, named in facts.items() if named}, experiments)


def _yaml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content: dict[str, Any] = parse_yaml(path.read_text(encoding="utf-8")) or {}
    return content


def _inputs() -> dict[str, str]:
    tracked = {name: _yaml(Path(name)).get("outs") for name in INPUTS}
    return {name: str(outs[0]["md5"]) for name, outs in tracked.items() if outs}


def _outputs() -> dict[str, str]:
    stages = _yaml(LOCK).get("stages", {})
    outs = [out for name, stage in stages.items() if name != STAGE for out in stage.get("outs", [])]
    return {out["path"]: str(out["md5"]) for out in outs if "md5" in out}


def _checkpoints(key: str) -> dict[str, str]:
    cards = {path: files.read_json(path) for path in sorted(paths.MODELS.rglob("*.json"))}
    return {str(path.with_suffix("")): str(c[key]) for path, c in cards.items() if key in c}


def _times(experiments: pd.DataFrame) -> dict[str, str]:
    dates = [str(date) for date in experiments.get("date", [])]
    newest = {"newest experiment": max(dates)} if dates else {}
    trained = _checkpoints("date")
    return newest | ({"newest checkpoint": max(trained.values())} if trained else {})


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            listed = value if isinstance(value, list) else [value]
            flat[f"{prefix}{key}"] = ", ".join(map(str, listed))
    return flat


def _software() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
