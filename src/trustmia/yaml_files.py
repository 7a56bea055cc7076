"""YAML as DVC reads it, by `ruamel.yaml` as DVC does: version 1.2, where `1e-05` is a number.

DVC writes `-S train.lr=0.00001` as `1e-05` and notes in dvc.lock what this reader makes of
it. For a reader of version 1.1, such as PyYAML, that is text, `010` is 8 and `on` is true.
"""

from collections.abc import Mapping
from functools import reduce
from io import StringIO
from operator import getitem
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from trustmia.errors import UserError


def parse_yaml(text: str | bytes) -> Any:
    """Return the content of a YAML document: plain values, dictionaries and lists.

    Raises:
        ValueError: It is no YAML, or asks for other objects. The message is one line.
    """
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, UnicodeDecodeError) as error:
        parts = str(error).partition("To suppress this check")[0].split()
        reason = " ".join(parts).replace('"<unicode string>"', "the file")
        raise ValueError(reason.replace('"<byte string>"', "the file")) from error


def read_yaml(path: Path, remedy: str) -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        remedy: What to do if there is none.

    Raises:
        UserError: The file is missing, cannot be read or is not YAML.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; {remedy}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error


class _WithNull(RoundTripRepresenter):
    """Writes `null` as that: a comment that follows nothing is easily misread."""


_WithNull.add_representer(
    type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null")
)


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """Return a YAML document with other values and its comments, as `dvc exp run -S` does it.

    Args:
        text: Sections of keys.
        values: Plain values or lists of them by their full keys, e.g. `train.lr`.

    Raises:
        KeyError: The document lacks a key.
    """
    yaml, stream = YAML(), StringIO()
    yaml.width, yaml.Representer = 10**6, _WithNull
    content = yaml.load(text)
    for name, value in values.items():
        *sections, key = name.split(".")
        try:
            section = reduce(getitem, sections, content)
            before = section[key]
        except (KeyError, TypeError) as error:
            raise KeyError(name) from error
        if isinstance(value, list) and isinstance(before, list):
            before[:] = value
        else:
            section[key] = value
    yaml.dump(content, stream)
    return stream.getvalue()
