"""How a stage runs: with the code of its folder, on as many threads as `params.yaml` says.

DVC notes code and parameters when a stage has ended. So a stage that ran other code or
parameters than lie in its folder by then fails, or its results would be filed under those.
"""

import importlib
import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import trustmia
from trustmia import files, program
from trustmia.errors import UserError
from trustmia.full_keys import flat_keys
from trustmia.params import load_params
from trustmia.splits.stratified import ROLES
from trustmia.yaml_files import read_yaml

PACKAGE = Path(trustmia.__file__).resolve().parent
PARAMS, PIPELINE = Path("params.yaml"), Path("dvc.yaml")


def run_stage(name: str, code: dict[str, str]) -> None:
    """Run a stage as a program.

    Args:
        name: The stage, a module of this package; its `main` may take a role.
        code: As `_Inputs.code`, read before anything was imported.
    """
    stage = importlib.import_module(f"trustmia.stages.{name}")
    parser = program.OneLineParser(prog=f"src/stage.py {name}", description=stage.__doc__)
    if inspect.signature(stage.main).parameters:
        parser.add_argument("role", choices=ROLES)
    arguments = vars(parser.parse_args()).values()
    folder = Path("src", "trustmia")
    if folder.resolve() != PACKAGE:
        raise UserError(
            f"the code is that of {PACKAGE}, not of {folder.absolute()}; run it as `dvc repro` "
            f"does: `python src/stage.py {' '.join([name, *arguments])}`, in the root of the "
            "repository"
        )
    before = _Inputs(code, _params_of(name))
    _use_threads(load_params(PARAMS).threads)
    stage.main(*arguments)
    before.require_unchanged(_Inputs.now(name))


def _use_threads(number: int) -> None:
    """Compute on a number of threads, in libraries that are loaded and in those to come.

    Sums are divided among threads, so that the last digits of what is trained depend on
    their number; by itself it is the machine's number of cores, or what the environment says.
    """
    for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM"):
        os.environ[f"{name}_THREADS"] = str(number)
    threadpool_limits(number)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)


@dataclass(frozen=True)
class _Inputs:
    """What DVC will note of a stage beside its data.

    Attributes:
        code: Path of each module → SHA-256 of its content.
        params: The stage's parameters by their full keys.
    """

    code: dict[str, str]
    params: dict[str, Any]

    @classmethod
    def now(cls, stage: str) -> "_Inputs":
        code = {str(path): files.sha256(path) for path in PACKAGE.rglob("*.py")}
        return cls(code, _params_of(stage))

    def require_unchanged(self, after: "_Inputs") -> None:
        """Refuse to end well where code that ran, or a parameter, is another one now."""
        loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        changed = [p for p in self.code if p in loaded and after.code.get(p) != self.code[p]]
        changed += [k for k in self.params if after.params.get(k) != self.params[k]]
        if changed:
            raise UserError(
                f"{changed[0]} was changed while this ran, and DVC would file the results under "
                "what is there now; run it again (`dvc exp run --temp` runs in a copy, beside "
                "which one can edit)"
            )


def _params_of(stage: str) -> dict[str, Any]:
    """Return the parameters that a stage depends on by `dvc.yaml`, by their full keys."""
    stages = read_yaml(PIPELINE, f"`git restore {PIPELINE}`")["stages"]
    own = stages.get(stage, {})
    wanted = own.get("do", own).get("params", [])
    params = flat_keys(load_params(PARAMS).model_dump())
    return {
        key: value
        for key, value in params.items()
        if any(isinstance(w, dict) or f"{key}.".startswith(f"{w}.") for w in wanted)
    }
