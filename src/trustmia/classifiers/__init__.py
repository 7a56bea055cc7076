"""All that decides about a classifier's weights, and the one forward pass."""

# How training images are varied (see `augmentation`).
AUGMENTATIONS = ("none", "rotate_crop_flip")
