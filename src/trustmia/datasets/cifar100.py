"""CIFAR-100 (Krizhevsky 2009): 60,000 colour images of a hundred classes, 32×32."""

from pathlib import Path

from trustmia.datasets.base import DatasetSource, Part
from trustmia.datasets.fetching import Archive
from trustmia.datasets.torchvision_files import read_cifar
from trustmia.images.base import Images

FOLDER = "cifar-100-python"
TRAIN = {"train": "16019d7e3df5f24257cddd939b257f8d"}
TEST = {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}
META = {"meta": "7973b15100ade9c7d40fb424638fde48"}
CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


def load(data: Path, part: Part) -> Images:
    """Read the 50,000 training images and, for `all`, the 10,000 test images after them."""
    return read_cifar("CIFAR100", data, part, (TRAIN, TEST, META))


SOURCE = DatasetSource(
    name="cifar100",
    title="CIFAR-100",
    classes=tuple(CLASSES.split()),
    channels=3,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    archives=(
        Archive(
            "cifar-100-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            "eb9058c3a382ffc7106e4002c42a8d85",
        ),
    ),
    files=(FOLDER,),
    load=load,
)
