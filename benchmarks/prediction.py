"""`predict` and `attack` against one data-loader pass per question."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import seconds
from trustmia.attacks import ATTACKS
from trustmia.attacks.base import Need
from trustmia.attacks.run import run_attacks
from trustmia.classifiers.architectures import ARCHITECTURES
from trustmia.classifiers.inference import as_inputs, predict
from trustmia.classifiers.inputs import normalization
from trustmia.measures.table import measure
from trustmia.runtime.compute import place
from trustmia.signals.container import Signals
from trustmia.signals.scores import ScoreSet
from trustmia.torchvision_compat import declare_missing_operators

IMAGES = 2500
SETS = 7
PASSES = 6  # decisions, attack scores and the maximum scores of four groups
BATCH = 128
FACTOR, OFFSET = normalization((0.2860,), (0.3530,))


class PerImage(Dataset[tuple[Tensor, int]]):
    """Makes a picture of an image and transforms it when asked for it, as torchvision does."""

    def __init__(self, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        self.pixels = pixels
        declare_missing_operators()
        from torchvision import transforms

        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.2860,), (0.3530,))]
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index, 0])), 0


def report() -> str:
    """Return how many times faster all sets and attacks are than the classical way.

    The classical way asks every question with a pass of its own: per attack and set, six
    passes over the members and over the set, and two per attack over the shadow's images.
    One such pass is timed, and multiplied by their number; the attacks' own arithmetic is
    left out of it, to its advantage.
    """
    rng = np.random.default_rng(0)
    model = place(ARCHITECTURES["salem_cnn"](1, 28, 10), torch.device("cpu")).eval()
    attacks = [name for name, one in ATTACKS.items() if one.always_needs(Need.SHADOW)]
    sets = [rng.integers(256, size=(IMAGES, 1, 28, 28), dtype=np.uint8) for _ in range(SETS + 1)]

    def score(count: int) -> ScoreSet:
        logits = [predict(model, as_inputs(s, FACTOR, OFFSET)).logits for s in sets[:count]]
        codes = np.repeat(np.arange(count, dtype=np.int32), IMAGES)
        scores = torch.softmax(torch.cat(logits), dim=1).numpy()
        names = ("members", *(f"set {i}" for i in range(1, count)))
        return ScoreSet(scores, np.zeros(len(codes), np.int64), codes == 0, names, codes)

    def ours() -> None:
        settings = {name: ATTACKS[name].settings() for name in attacks}
        found = run_attacks(Signals(score(SETS + 1), score(2)), attacks, settings, 42)
        measure(found, 0, 42)

    @torch.no_grad()
    def one_pass() -> None:
        for images, _ in DataLoader(PerImage(sets[0]), batch_size=BATCH):
            torch.softmax(model(images), dim=1)

    ours()
    one_pass()
    times = []
    for _ in range(3):
        times.append((seconds(ours), seconds(one_pass)))
    passes = len(attacks) * (SETS * PASSES * 2 + 2)
    ratio = float(np.median([passes * b / a for a, b in times]))
    return f"predict + attack: {ratio:.0f} times faster than {passes} data-loader passes"
