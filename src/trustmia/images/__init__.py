"""Images as arrays and as files: the prepared store, fakes, sizes."""

from typing import Literal

# How pictures of other sizes become square (see `resizing.fit_square`).
Fit = Literal["stretch", "crop"]
