"""Images as arrays: the prepared store, splits, corruptions, sizes, augmentation."""
