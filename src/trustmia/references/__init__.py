"""The models that attacks compare the target with: who is trained on what, and where."""

from typing import Literal

# How the local executor trains several models.
Parallel = Literal["auto", "processes", "stacked", "none"]
