"""Stanford Dogs (Khosla et al. 2011): 20,580 photographs of dogs, 120 breeds."""

from pathlib import Path

from trustmia.datasets.base import DatasetSource, ImageFiles, Part, image_folders
from trustmia.datasets.fetching import Archive, extract_into

FOLDER = "stanford_dogs"
# In the order of their WordNet numbers, which the folders' names begin with.
BREEDS = """
Chihuahua Japanese_spaniel Maltese_dog Pekinese Shih-Tzu Blenheim_spaniel papillon toy_terrier
Rhodesian_ridgeback Afghan_hound basset beagle bloodhound bluetick black-and-tan_coonhound
Walker_hound English_foxhound redbone borzoi Irish_wolfhound Italian_greyhound whippet
Ibizan_hound Norwegian_elkhound otterhound Saluki Scottish_deerhound Weimaraner
Staffordshire_bullterrier American_Staffordshire_terrier Bedlington_terrier Border_terrier
Kerry_blue_terrier Irish_terrier Norfolk_terrier Norwich_terrier Yorkshire_terrier
wire-haired_fox_terrier Lakeland_terrier Sealyham_terrier Airedale cairn Australian_terrier
Dandie_Dinmont Boston_bull miniature_schnauzer giant_schnauzer standard_schnauzer Scotch_terrier
Tibetan_terrier silky_terrier soft-coated_wheaten_terrier West_Highland_white_terrier Lhasa
flat-coated_retriever curly-coated_retriever golden_retriever Labrador_retriever
Chesapeake_Bay_retriever German_short-haired_pointer vizsla English_setter Irish_setter
Gordon_setter Brittany_spaniel clumber English_springer Welsh_springer_spaniel cocker_spaniel
Sussex_spaniel Irish_water_spaniel kuvasz schipperke groenendael malinois briard kelpie komondor
Old_English_sheepdog Shetland_sheepdog collie Border_collie Bouvier_des_Flandres Rottweiler
German_shepherd Doberman miniature_pinscher Greater_Swiss_Mountain_dog Bernese_mountain_dog
Appenzeller EntleBucher boxer bull_mastiff Tibetan_mastiff French_bulldog Great_Dane
Saint_Bernard Eskimo_dog malamute Siberian_husky affenpinscher basenji pug Leonberg Newfoundland
Great_Pyrenees Samoyed Pomeranian chow keeshond Brabancon_griffon Pembroke Cardigan toy_poodle
miniature_poodle standard_poodle Mexican_hairless dingo dhole African_hunting_dog
"""


def load(data: Path, part: Part) -> ImageFiles:
    """List all photographs, by folder and file name.

    The published lists of training and test images are not used, as in the paper; the
    training part is everything.
    """
    return image_folders(data / FOLDER / "Images", len(BREEDS.split()))


SOURCE = DatasetSource(
    name="stanford_dogs",
    title="Stanford Dogs",
    classes=tuple(BREEDS.split()),
    channels=3,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    archives=(
        Archive(
            "images.tar",
            "http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar",
            "1bb1f2a596ae7057f99d7d75860002ef",
        ),
    ),
    unpack=extract_into(FOLDER),
    files=(f"{FOLDER}/Images",),
    load=load,
)
