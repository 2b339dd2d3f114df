"""Names of a package that are loaded when they are first asked for. Pure.

A package that many import for little, a table of contents say, need not load all that it names:

    __getattr__ = lazy_names.loader(globals(), {"package.module": ("name", "another")})

A name is then a global of the package, so looking it up again costs what it always costs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any


def loader(
    package: dict[str, Any],
    places: Mapping[str, Collection[str]],
    modules: Mapping[str, str] | None = None,
) -> Callable[[str], object]:
    """A ``__getattr__`` for a package.

    Args:
        package: The package's globals, which get what was loaded.
        places: The names that are in a module, by the module's name.
        modules: Modules by the names that they have in the package.
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
