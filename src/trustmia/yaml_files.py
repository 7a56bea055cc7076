"""YAML as DVC reads it, by `ruamel.yaml` as DVC does: version 1.2, where `1e-05` is a number.

DVC writes `-S train.lr=0.00001` as `1e-05` and notes in dvc.lock what this reader makes of
it. For a reader of version 1.1, such as PyYAML, that is text, `010` is 8 and `on` is true.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

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
        UserError: The file is missing or is not YAML.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; {remedy}") from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """Return a YAML document with other values, its comments and all else as they were.

    DVC's own way, a round trip through `ruamel.yaml`, moves comments and turns lists around.

    Args:
        text: Sections of keys, as somebody or DVC wrote them.
        values: Plain values or lists of them by their full keys, e.g. `train.lr`.

    Raises:
        KeyError: The document lacks a key.
    """
    nodes = dict(_nodes(YAML(typ="safe", pure=True).compose(text)))
    for name in sorted(values, key=lambda name: nodes[name][0].end_mark.index, reverse=True):
        key, value = nodes[name]
        colon = text.index(":", key.end_mark.index)
        start, end = value.start_mark.index, _last(value).end_mark.index
        # Null may be written as nothing, which has the place of what comes next.
        before, after = (
            (text[colon + 1 : start], text[end:]) if end > start else ("", text[colon + 1 :])
        )
        # The comment of a list of lines comes before it.
        rest = re.sub(r"\A *(?=#)", " ", before.strip() + after)
        text = f"{text[:colon]}: {_flow(values[name])}{rest}"
    return text


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


def _nodes(node: Node | None, section: str = "") -> Iterator[tuple[str, tuple[Node, Node]]]:
    """Yield the full key of every value, and the nodes of both."""
    for key, value in node.value if isinstance(node, MappingNode) else ():
        name = f"{section}{key.value}"
        if isinstance(value, MappingNode):
            yield from _nodes(value, f"{name}.")
        else:
            yield name, (key, value)


def _last(node: Node) -> Node:
    """Return what ends last: the marks of a list of lines take in what comes after it."""
    lines = isinstance(node, SequenceNode) and not node.flow_style
    return _last(node.value[-1]) if lines else node
