"""Lazy loading of a package's names on first use. Pure.

A package that serves as a table of contents need not load everything it names:

    __getattr__ = lazy_names.loader(globals(), {"package.module": ("name", "another")})

Once loaded, a name is a global of the package, so later look-ups have no extra cost.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping


def loader(
    package: dict[str, object],
    places: Mapping[str, Collection[str]],
    modules: Mapping[str, str] | None = None,
) -> Callable[[str], object]:
    """Return a ``__getattr__`` for a package.

    Args:
        package: The package's globals, to which loaded names are added.
        places: The names to load from each module, by the module's name.
        modules: Modules to load, by their names in the package.
    """
    whole = modules or {}
    module_of = {name: module for module, names in places.items() for name in names}

    def load(name: str) -> object:
        found: object
        if name in whole:
            found = importlib.import_module(whole[name])
        elif name in module_of:
            found = getattr(importlib.import_module(module_of[name]), name)
        else:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        package[name] = found
        return found

    return load
