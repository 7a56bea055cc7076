"""What several stages read alike."""

from trustmia import files, layout
from trustmia.arrays import Int64
from trustmia.entry import OneLineParser
from trustmia.errors import UserError
from trustmia.images.splits import ROLES


def read_role(description: str | None) -> str:
    """Return the stage's only argument, `target` or `shadow`."""
    parser = OneLineParser(description=description)
    parser.add_argument("role", choices=ROLES)
    role: str = parser.parse_args().role
    return role


def read_split(owner: str) -> dict[str, Int64]:
    """Return the index sets of `target`, `shadow` or `generator` (see `split_indices`).

    Raises:
        UserError: The stage `split` has not run, or its file is not readable.
    """
    path = layout.SPLIT / f"{owner}.npz"
    try:
        return files.read_arrays(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run `dvc repro split`") from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not readable ({error}); run `dvc checkout {path}`") from error
