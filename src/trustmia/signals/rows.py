"""The rows of the signals: which images, with which label, and who was trained on them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trustmia.arrays import Bool, Float32, Int64
from trustmia.image_sets import AUDITED, MEMBERS, OF_HELD_OUT

Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class SignalRows:
    """What is known of each image.

    Attributes:
        order: int64 [N], the rows of the score file, the audited images first.
        sets: str [N], image sets.
        labels: int64 [N], the classes that attacks judge the confidence in.
        member: bool [1 + M, N], the model was trained on the image; model 0 is the target.
    """

    order: Int64
    sets: Names
    labels: Int64
    member: Bool


def arrange(sets: Names, labels: Int64, logits: Float32, member: Bool) -> SignalRows:
    """Arrange the rows of the target's score file as signals.

    Members, held-out images and what was made of these keep their class as label. All
    others have none that a model could have been trained with: theirs is the class that the
    target predicts. A corrupted held-out image counts as trained on by the reference models
    that were trained on the image it was made of, so that none of them passes for a model
    that never saw it.

    Args:
        sets: str [N], image sets of the score file's rows.
        labels: int64 [N], their classes; -1 where there is none.
        logits: float32 [N, K], the target's.
        member: bool [M, P], the audited images that reference models were trained on.

    Raises:
        ValueError: `member` is of other images than the audited ones.
    """
    groups = [np.flatnonzero(sets == name) for name in dict.fromkeys((*AUDITED, *sets.tolist()))]
    order = np.concatenate(groups)
    named = sets[order]
    keeps = np.isin(named, (MEMBERS, *OF_HELD_OUT))
    members = int((sets == MEMBERS).sum())
    result = np.zeros((1 + len(member), len(sets)), dtype=np.bool_)
    result[0] = named == MEMBERS
    if len(member):
        audited = int(np.isin(named, AUDITED).sum())
        if member.shape[1] != audited:
            raise ValueError(f"{member.shape[1]} images divided, but {audited} audited")
        result[1:, :members] = member[:, :members]
        for name in OF_HELD_OUT:
            if (named == name).any():
                result[1:, named == name] = member[:, members:]
    return SignalRows(
        order=order,
        sets=named,
        labels=np.where(keeps, labels[order], logits[order].argmax(axis=1)),
        member=result,
    )
