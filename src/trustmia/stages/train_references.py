"""Stage `train_references`: classifiers on random halves of the images that are audited."""

from tqdm import tqdm

from trustmia import files, paths
from trustmia.arrays import Int64
from trustmia.images.prepared import read_prepared
from trustmia.params import Params, ReferenceParams, load_params
from trustmia.references.assignment import complementary_halves
from trustmia.references.job import Executor, Job, Task, tasks
from trustmia.references.local import LocalExecutor
from trustmia.references.ray_cluster import RayExecutor
from trustmia.references.store import write_member
from trustmia.references.unfinished import Unfinished
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.seeding import derive_seed
from trustmia.stages._classifier_recipe import classifier_recipe
from trustmia.stages._inputs import read_audited


def main() -> None:
    """Write the models, `member.npy` (bool [M, N]) and `images.npy` (int64 [N]).

    Finished models are kept in `outputs/references.unfinished` until all are there, since
    DVC removes a stage's outputs before it runs.
    """
    params = load_params()
    index = read_audited()
    member = complementary_halves(len(index), params.references.count, params.seed)
    with files.atomic_folder(paths.REFERENCES) as fresh:
        write_member(fresh, member, index)
        if len(member):
            job, models = job_of(params, index), tasks(member, params.seed)
            unfinished = Unfinished(paths.UNFINISHED_REFERENCES, job, models)
            train(job, unfinished, executor_of(params.references))
            unfinished.move_to(fresh)


def job_of(params: Params, index: Int64) -> Job:
    """Return what is trained: classifiers like the target, on the audited images."""
    prepared = read_prepared(paths.DATASET)
    changes = {} if params.references.epochs is None else {"epochs": params.references.epochs}
    recipe = classifier_recipe(
        params.train.model_copy(update=changes),
        derive_seed(params.seed, "references"),
        scratch=True,
    )
    return Job(
        dataset=prepared.dataset,
        pool=prepared.images.take(index),
        uncropped=prepared.uncropped and prepared.uncropped.take(index),
        recipe=recipe,
        threads=params.references.threads,
    )


def executor_of(params: ReferenceParams) -> Executor:
    """Return what trains the models."""
    if params.executor == "ray":
        return RayExecutor(params.ray_address, params.cpus_per_model, params.gpus_per_model)
    return LocalExecutor(params.parallel, params.stack_size)


def train(job: Job, unfinished: Unfinished, executor: Executor) -> None:
    """Train the models that are missing, with a progress bar."""
    missing, total = unfinished.missing(), len(unfinished.tasks)
    with tqdm(
        total=total, initial=total - len(missing), desc="train references", unit="model"
    ) as bar:

        def keep(task: Task, checkpoint: Checkpoint) -> None:
            unfinished.keep(task, checkpoint)
            accuracy = checkpoint.card["metrics"]["test"]["accuracy"]
            bar.set_postfix_str(f"held-out accuracy {accuracy:.3f}")
            bar.update()

        if missing:
            executor(job, missing, keep)
