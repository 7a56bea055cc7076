"""Registries that name their entries without importing them."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Entry = TypeVar("Entry")


def resolve(address: str) -> Any:
    """Return what is at an address, `package.module:NAME`; this imports the module."""
    module, _, name = address.partition(":")
    return getattr(importlib.import_module(module), name)


class Registry(Mapping[str, Entry]):
    """Entries by name, each imported when it is asked for.

    Args:
        addresses: Name → address of its entry (see `resolve`).
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = dict(addresses)

    def __getitem__(self, name: str) -> Entry:
        entry: Entry = resolve(self._addresses[name])
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._addresses

    def __iter__(self) -> Iterator[str]:
        return iter(self._addresses)

    def __len__(self) -> int:
        return len(self._addresses)
