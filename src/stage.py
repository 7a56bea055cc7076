"""Runs a stage of dvc.yaml: `python src/stage.py train target`.

Python looks for a program's imports in the program's own folder first. So a stage runs the
code beside this file, also where DVC has copied the repository to (`dvc exp run --queue`
and `--temp`) and an installed package, or PYTHONPATH, is the working tree's.
"""

import hashlib
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here))
    # Threads that wait for others sleep: on a busy machine, spinning costs several times the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    package = here / "trustmia"
    stages = sorted(p.stem for p in (package / "stages").glob("[!_]*.py"))
    if sys.argv[1:2] not in [[name] for name in stages]:
        print(f"src/stage.py: name a stage first; allowed: {', '.join(stages)}", file=sys.stderr)
        sys.exit(2)
    # What is imported from here on; an edit in the meantime is found at the stage's end.
    code = {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in package.rglob("*.py")}
    from trustmia import program

    stage = sys.argv.pop(1)

    def _main() -> None:
        from trustmia.stages._runner import run_stage

        run_stage(stage, code)

    # Without its files a stage is not done, whether or not anybody reads what it says.
    program.run(stage, _main, unread=1)
