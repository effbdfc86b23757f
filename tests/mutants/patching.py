"""Import a module with some of its source replaced."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType


class DoesNotApply(Exception):
    """The text to replace is not there exactly once: the source moved on, mend the mutant."""


@dataclass(frozen=True, slots=True)
class Patch:
    """In `module`, `old` becomes `new`. `old` must be there exactly once."""

    module: str
    old: str
    new: str


def source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise DoesNotApply(f"no module {module}")
    return Path(spec.origin).read_text()


def patched(source: str, patches: Sequence[Patch]) -> str:
    """Raises DoesNotApply."""
    for patch in patches:
        found = source.count(patch.old)
        if found != 1:
            raise DoesNotApply(f"{patch.module}: found {found} times, must be once: {patch.old!r}")
        source = source.replace(patch.old, patch.new)
    return source


class _Loader(importlib.abc.Loader):
    def __init__(self, path: str, source: str) -> None:
        self._path = path
        self._source = source

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, self._path, "exec"), module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, sources: dict[str, tuple[str, str]]) -> None:
        self._sources = sources

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._sources:
            return None
        origin, source = self._sources[name]
        return importlib.util.spec_from_loader(name, _Loader(origin, source), origin=origin)


def install(patches: Sequence[Patch]) -> None:
    """From now on these modules are imported patched. Raises DoesNotApply, or if one is in
    already.
    """
    by_module: dict[str, list[Patch]] = {}
    for patch in patches:
        by_module.setdefault(patch.module, []).append(patch)
    sources = {}
    for module, group in by_module.items():
        spec = importlib.util.find_spec(module)
        if module in sys.modules:
            raise DoesNotApply(f"{module} is imported already")
        assert spec is not None
        assert spec.origin is not None
        sources[module] = (spec.origin, patched(Path(spec.origin).read_text(), group))
    sys.meta_path.insert(0, _Finder(sources))
