"""STL-10 (Coates, Ng, Lee 2011): 13,000 labelled colour images of ten classes, 96×96."""

from pathlib import Path

from trustmia.datasets.base import DatasetSource, Part
from trustmia.datasets.fetching import Archive
from trustmia.datasets.torchvision_files import NAMES, read_splits, torchvision_class
from trustmia.images.base import Images

FOLDER = "stl10_binary"
TRAIN = {
    "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "5a34089d4802c674881badbb80307741",
}
TEST = {
    "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
}
CLASSES = "airplane bird car cat deer dog horse monkey ship truck"


def load(data: Path, part: Part) -> Images:
    """Read the 5,000 training images and, for `all`, the 8,000 test images after them.

    The 100,000 images without labels are neither read nor verified.
    """
    stl10 = torchvision_class("STL10", train_list=list(TRAIN.items()), test_list=list(TEST.items()))
    return read_splits(stl10, data, part, NAMES, lambda s: (s.data, s.labels))


SOURCE = DatasetSource(
    name="stl10",
    title="STL-10",
    classes=tuple(CLASSES.split()),
    channels=3,
    mean=(0.4467, 0.4398, 0.4066),
    std=(0.2603, 0.2566, 0.2713),
    archives=(
        Archive(
            "stl10_binary.tar.gz",
            "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
            "91f7769df0f17e558f3565bffb0c7dfb",
        ),
    ),
    files=(FOLDER,),
    load=load,
)
