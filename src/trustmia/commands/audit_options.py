"""Options that both forms of `trustmia audit` have."""

from collections.abc import Collection, Sequence
from pathlib import Path

from trustmia.errors import UserError


def check_common(
    attacks: Sequence[str], known: Collection[str], out: Path, resamples: int, seed: int, form: str
) -> None:
    """Refuse what neither form can work with.

    Args:
        attacks: Names of attacks that were asked for.
        known: Names that there are.
        out: Folder for the results, which need not exist.
        resamples: Resamples of the bootstrap; 0 for no intervals.
        seed: Seed of all random choices.
        form: What to add where a name is unknown, e.g. ` with --signals`.

    Raises:
        UserError: One of them is impossible.
    """
    for name in attacks:
        if name not in known:
            raise UserError(f"--attacks: {name!r} is unknown{form}; allowed: {', '.join(known)}")
    if not attacks or len(set(attacks)) != len(attacks):
        raise UserError("--attacks: name at least one attack, and none twice")
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed: got {seed}; allowed: 0 to 2**63 - 1")
    if not 0 <= resamples <= 10**6:
        raise UserError(f"--resamples: got {resamples}; allowed: 0 to 1000000")
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"--out: {place} is a file; allowed: a folder, or a new name")
