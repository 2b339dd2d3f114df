"""Mutation testing: how many small faults in pure modules are detected by their room's tests?

A mutant is a module with one changed operator, constant, condition or order of arguments, or one
statement less. It exists in the memory of a fork of this process, which runs the room's tests until
one fails: those that import the module first, then other pure ones. Not changed are texts and
tuning constants, which tests need not repeat, assertions, decorators and `strict=`.

mutmut did not fit: it runs tests more than once in a process, but a process has one set of metrics,
and with its fork server all mutants timed out. cosmic-ray starts an interpreter for each mutant and
changes files in place. Neither takes samples.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

import hypothesis
import pytest

from tests.rooms import MODULES, ROOT, imports_of, imports_only_pure, is_pure

GOAL = 0.85
MAX_MEMORY = 4 << 30
OPTIONS = [f"--rootdir={ROOT}", f"-c{ROOT}/pyproject.toml", "--basetemp=basetemp", "-xq"]
OPTIONS += ["-pno:cacheprovider", "-Wignore::pytest.PytestAssertRewriteWarning"]
# Or pytest itself would import quantile_test.py of amoc, as it was written.
OPTIONS += ["-opython_files=test_*.py"]
OPERATORS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
REMOVABLE = (ast.AugAssign, ast.Break, ast.Continue, ast.Delete, ast.Raise)
KEEP_ORDER = ("isinstance", "TypeVar", "zip")


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the possible faults of `node`."""
    match node:
        case ast.Compare(left, [op, *ops], right):
            yield ast.Compare(left, [OPERATORS[type(op)](), *ops], right)
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(OPERATORS[type(op)](), values)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.Constant(int() | float() as value):
            yield ast.Constant(not value if isinstance(value, bool) else value + 1)
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.If(test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Call(ast.Name("min" | "max" as name), args, keywords):
            yield ast.Call(ast.Name("max" if name == "min" else "min", ast.Load()), args, keywords)
        case ast.Call(func, [one, other, *rest], keywords) if ast.unparse(func) not in KEEP_ORDER:
            yield ast.Call(func, [other, one, *rest], keywords)
        case ast.Assign([ast.Attribute() | ast.Subscript()]) | ast.Expr(ast.Call()):
            yield ast.Pass()
        case _ if isinstance(node, REMOVABLE):
            yield ast.Pass()


class Mutator(ast.NodeTransformer):
    """Finds all possible faults of a module, and injects the one with the number `wanted`."""

    def __init__(self, module: str, wanted: int = -1) -> None:
        self.module, self.wanted = module, wanted
        self.found: list[str] = []
        self.tree = ast.fix_missing_locations(self.visit(ast.parse(MODULES[module].read_text())))

    def visit(self, node: ast.AST) -> ast.AST:
        match node:
            case ast.Assert() | ast.keyword("strict"):
                return node
            case ast.Assign([ast.Name() | ast.Tuple() as names]) if ast.unparse(names).isupper():
                return node
        for new in changed(node):
            before, after = ast.unparse(node).split("\n")[0], ast.unparse(new).split("\n")[0]
            self.found.append(f"{self.module}:{node.lineno}: {before}  ->  {after}")
            if len(self.found) == self.wanted + 1:
                return ast.copy_location(new, node)
        decorators = vars(node).pop("decorator_list", None)
        self.generic_visit(node)
        if decorators is not None:
            node.decorator_list = decorators
        return node

    def find_spec(self, name: str, *_: object) -> object:
        """Imports the mutant instead of the module."""
        if name != self.module:
            return None
        loader = SourceFileLoader(name, path := str(MODULES[name]))
        loader.get_code = lambda _: compile(self.tree, path, "exec")
        return spec_from_file_location(name, path, loader=loader)


class Quick:
    """Keeps hypothesis from shrinking failing examples."""

    def pytest_configure(self) -> None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("quick", phases=phases, database=None)
        hypothesis.settings.load_profile("quick")


def outcome(mutant: tuple[str, int], files: list[Path], seed: int, limit_s: float) -> int | None:
    """Return pytest's exit code with a mutant; negative for a signal, None after `limit_s`."""
    child = os.fork()
    if not child:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        sys.meta_path.insert(0, Mutator(*mutant))
        options = [*OPTIONS, f"--hypothesis-seed={seed}", *map(str, files)]
        os._exit(pytest.main(options, plugins=[Quick()]))
    end = os.pidfd_open(child)
    ended, _, _ = select.select([end], [], [], limit_s)
    os.close(end)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if ended else None


def sample(room: str, size: int, seed: int) -> bool:
    """Test some mutants of a room's pure modules; return whether enough of them are detected."""
    modules = [one for one in MODULES if one.startswith(f"amoc.{room}.") and is_pure(one)]
    tests = sorted((ROOT / "tests/unit" / room).rglob("test_*.py"))
    everything = [(one, number) for one in modules for number in range(len(Mutator(one).found))]
    begun = time.monotonic()
    if (status := outcome((modules[0], -1), tests, seed, 600)) != 0:
        sys.exit(f"the tests of {room} must pass without a fault, but end with {status}")
    limit_s = 20 + 2 * (time.monotonic() - begun)
    tried = random.Random(f"{seed}/{room}").sample(everything, min(size, len(everything)))
    killed = late = 0
    for module, number in sorted(tried):
        tests.sort(key=lambda one: (module not in imports_of(one), not imports_only_pure(one), one))
        status = outcome((module, number), tests, seed, limit_s)
        killed, late = killed + (status != 0), late + (status is None)
        if status == 0:
            print("survived:", Mutator(module, number).found[number], flush=True)
    print(
        f"{room}: {killed} of {len(tried)} mutants noticed, {killed / len(tried):.0%}, {late} of"
        f" them by time-out; there are {len(everything):,} in {len(modules)} modules",
        flush=True,
    )
    return killed >= GOAL * len(tried)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rooms", nargs="*", default=["throttle", "coordinator", "results"])
    parser.add_argument("--sample", type=int, default=100, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.nice(10)
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        enough = [sample(room, given.sample, given.seed) for room in given.rooms]
    sys.exit(not all(enough))


if __name__ == "__main__":
    main()
