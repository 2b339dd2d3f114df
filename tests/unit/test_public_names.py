"""What `from amoc import …` gives: each name when it is asked for, and what type checkers see."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

import amoc
from tests.rooms import MODULES


def typed() -> Iterator[tuple[str, str, str]]:
    """The imports that type checkers see: a name of amoc, its module, and its name there."""
    for node in ast.parse(MODULES["amoc"].read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for one in node.body:
                assert isinstance(one, ast.ImportFrom)
                for alias in one.names:
                    yield alias.asname or alias.name, one.module or "", alias.name


def in_a_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(("name", "module", "inner"), list(typed()))
def test_a_name_is_what_type_checkers_take_it_for(name: str, module: str, inner: str) -> None:
    whole = f"{module}.{inner}"
    expected = import_module(whole) if whole in MODULES else getattr(import_module(module), inner)
    found = getattr(amoc, name)
    # `users` is a package, too, which is called as the function is.
    assert found is expected or (name == "users" and callable(found))


def test_type_checkers_see_all_names() -> None:
    at_once = set(in_a_new_process("import amoc; print(*vars(amoc))").split())
    assert {name for name, _, _ in typed()} == set(amoc.__all__) - at_once
    assert set(amoc.__all__) <= set(dir(amoc))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'amoc' has no attribute 'nothing'$"):
        _ = amoc.nothing


def test_importing_amoc_loads_no_event_loop() -> None:
    loaded = in_a_new_process("import amoc, sys; print(*sys.modules)").split()
    assert "amoc" in loaded
    assert not {"gevent", "zmq", "amoc.metrics", "amoc.throttle"} & set(loaded)


def test_names_are_found_in_each_way_to_import_them() -> None:
    ways = "from amoc import *; import amoc; from amoc import throttle as t, user as u"
    told = in_a_new_process(
        f"{ways}; print(amoc.throttle is t is throttle, amoc.user is u is user)"
    )
    assert told == "True True"


def test_exceptions_are_found_where_earlier_versions_had_them() -> None:
    code = "from amoc.errors import AmocError as old; import amoc; print(old is amoc.AmocError)"
    assert in_a_new_process(code) == "True"
