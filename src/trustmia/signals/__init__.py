"""What models say of images: arrays and files, checked where they come in."""
