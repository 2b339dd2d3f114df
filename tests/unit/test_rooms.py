"""A module whose opening line says ``Pure.`` decides and does nothing else.

So it may import, itself or through others, no event loop, no sockets and no processes. That a
package's ``__init__`` names more than that is no matter: the module itself counts.
"""

from __future__ import annotations

import pytest

from tests.rooms import MODULES, ROOT, is_pure, way_to_impure

PURE = [module for module in MODULES if is_pure(module)]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_no_event_loop_and_no_sockets(module: str):
    assert way_to_impure(module) == []


def test_there_are_pure_modules_and_others():
    assert len(PURE) > 60
    assert way_to_impure("amoc.throttle.worker")


def test_the_root_holds_four_files():
    names = {path.name for path in (ROOT / "amoc").iterdir() if path.is_file()}
    assert names == {"__init__.py", "__main__.py", "_version.py", "py.typed"}
