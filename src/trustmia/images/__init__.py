"""Images as arrays: their type, the prepared store, splits, corruptions, augmentation."""

from trustmia.images.base import Dataset, Images

__all__ = ["Dataset", "Images"]
