"""Parameters by their full keys, as DVC writes them: `train.lr`."""

from collections.abc import Mapping
from typing import Any


def flat_keys(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as DVC notes them, sections and single values, by their full keys."""
    result: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, dict):
            result |= {f"{key}.{name}": content for name, content in value.items()}
        else:
            result[key] = value
    return result


def changes(before: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are not as before, by their full keys."""
    old = flat_keys(before)
    return {k: new for k, new in flat_keys(params).items() if k not in old or old[k] != new}
