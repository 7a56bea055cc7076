"""CIFAR-10 (Krizhevsky 2009): 60,000 colour images of ten classes, 32×32."""

from pathlib import Path

from trustmia.datasets.base import DatasetSource, Part
from trustmia.datasets.fetching import Archive
from trustmia.datasets.torchvision_files import read_cifar
from trustmia.images.base import Images

FOLDER = "cifar-10-batches-py"
TRAIN = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST = {"test_batch": "40351d587109b95175f43aff81a1287e"}
META = {"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"}
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"


def load(data: Path, part: Part) -> Images:
    """Read the 50,000 training images and, for `all`, the 10,000 test images after them."""
    return read_cifar("CIFAR10", data, part, (TRAIN, TEST, META))


SOURCE = DatasetSource(
    name="cifar10",
    title="CIFAR-10",
    classes=tuple(CLASSES.split()),
    channels=3,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    archives=(
        Archive(
            "cifar-10-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
        ),
    ),
    files=(FOLDER,),
    load=load,
)
