"""All that attacks read: what models say of images, wherever it is from."""

from dataclasses import dataclass
from pathlib import Path

from trustmia.errors import UserError
from trustmia.signals.many_models import ManyModels
from trustmia.signals.scores import ScoreSet, read_scores


@dataclass(frozen=True)
class Signals:
    """What models say of images; each attack takes what it needs, if it is there.

    Attributes:
        target: Scores of the model under audit; None if there are none.
        shadow: Scores, of as many classes, of a model whose membership is known; None alike.
        models: What many models, the target among them, say of the same images; None alike.
        target_index: Which of these models is the target.
    """

    target: ScoreSet | None = None
    shadow: ScoreSet | None = None
    models: ManyModels | None = None
    target_index: int = 0


def read_score_files(shadow: Path, target: Path, models: ManyModels | None = None) -> Signals:
    """Read the scores of a shadow and of a target, beside what many models say.

    Raises:
        UserError: See `read_scores`; or the two have different numbers of classes.
    """
    of_shadow = read_scores(shadow, needs_sets=False)
    of_target = read_scores(target, needs_sets=True)
    classes = of_shadow.scores.shape[1], of_target.scores.shape[1]
    if classes[0] != classes[1]:
        raise UserError(f"{target}: has {classes[1]} classes, but {shadow} has {classes[0]}")
    return Signals(of_target, of_shadow, models)
