"""Finished models of an unfinished stage, so that an interruption costs only what is missing."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from trustmia.errors import UserError
from trustmia.references.job import Job, Task
from trustmia.references.store import stem_of
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint

PACKAGE = Path(__file__).resolve().parent.parent


class Unfinished:
    """A folder of finished models.

    Its name is a digest of all that decides about them: parameters, images, seeds and this
    package's code. Models of another digest are never taken, but removed.

    Args:
        parent: Folder of such folders; nothing else is in it.
        job: What is trained.
        tasks: The models.
    """

    def __init__(self, parent: Path, job: Job, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.folder = parent / _digest(job, tasks)
        for other in parent.glob("*"):
            if other != self.folder:
                shutil.rmtree(other)

    def missing(self) -> list[Task]:
        """Return the models that are not there yet, or not whole."""
        return [task for task in self.tasks if not self._is_whole(task)]

    def _is_whole(self, task: Task) -> bool:
        try:
            checkpoints.load(stem_of(self.folder, task.number))
        except UserError:
            return False
        return True

    def keep(self, task: Task, checkpoint: Checkpoint) -> None:
        """Write a finished model: first the weights, then the card that makes it count."""
        checkpoints.save(stem_of(self.folder, task.number), checkpoint)

    def move_to(self, folder: Path) -> None:
        """Move all models into another folder; what a killed process half wrote is dropped."""
        for task in self.tasks:
            for file in checkpoints.paths(stem_of(self.folder, task.number)):
                file.rename(folder / file.name)
        shutil.rmtree(self.folder.parent)


def _digest(job: Job, tasks: Sequence[Task]) -> str:
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        digest.update(file.read_bytes())
    card = {
        "arch": job.recipe.arch,
        "params": job.recipe.params,
        "data": checkpoints.data_card(job.dataset.name, job.pool),
        "versions": checkpoints.versions(),
        "threads": job.threads,
        "seeds": [task.seed for task in tasks],
    }
    digest.update(json.dumps(card, sort_keys=True).encode())
    for task in tasks:
        digest.update(task.member.tobytes())
    return digest.hexdigest()[:16]
