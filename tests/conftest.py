"""Configuration of all tests.

Hypothesis has no deadlines, because on a shared machine an example may be slow without a fault.
Signals that were ignored when the tests were started (as a shell does for background jobs) are
reset: amoc would ignore them as well, but the tests send them.

Tests that do not depend on the Python version are marked `once`, for a single job of the matrix:
those of pure modules, of texts, and those with browsers and servers. Forks, signals, threads and
greenlets do depend on it.
"""

import compileall
import gc
import signal
from collections.abc import Generator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from tests.rooms import ROOT, imports_only_pure

try:
    from hypothesis.internal.constants_ast import constants_from_module
except ImportError:  # it is not public; without it each worker looks for all constants

    def constants_from_module(module: ModuleType) -> None:
        pass


settings.register_profile("amoc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amoc")

for signum in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(signum) is signal.SIG_IGN:
        handler = signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL
        signal.signal(signum, handler)

ONCE = frozenset(
    {"browser", "cluster", "servers", "results", "cli", "control", "service", "recording"}
)
"""Directories of tests that are `once`."""
SERVERS = frozenset({"prosody", "xmpp_server"})
"""Fixtures that start real servers."""
ONCE_FILES = frozenset(
    ROOT / f"tests/{name}.py"
    for name in (
        *(f"process/test_{name}" for name in ("changes", "control", "damaged_run", "disk")),
        *(f"process/test_{name}" for name in ("callbacks", "cluster", "coordinator")),
        *(f"process/test_{name}" for name in ("dependencies", "joined_runs", "joining")),
        *(f"process/test_{name}" for name in ("embedded_xmpp", "events", "limited", "logging")),
        *(f"process/test_{name}" for name in ("numbers", "review", "secrets", "standstill")),
        *(f"process/test_{name}" for name in ("arrivals", "client", "kinds", "locustfiles")),
        *(f"process/test_{name}" for name in ("thresholds", "xmpp_failures", "xmpp_lives")),
        *(f"process/test_{name}" for name in ("feeds", "late_nodes", "many_timers", "steps")),
        *("e2e/test_one_to_one", "unit/test_docs", "unit/test_health_figures", "unit/test_rooms"),
    )
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    # Importing deselected tests and their fixtures would take as long as some of the tests.
    unwanted = config.option.markexpr == "not once" and ROOT / "tests" in collection_path.parents
    return True if unwanted and runs_once(collection_path) else None


def pytest_collection(session: pytest.Session) -> None:
    """Has each of xdist's workers compile a part of all files, and read the rest from the others.

    Otherwise each compiles all of them, which takes 45 s of CPU time in a clean checkout, and
    parses those of amoc for the constants that hypothesis tries, 2.2 s in each worker. It also
    keeps the garbage collector from traversing the tests again and again, 1.8 s of 11.5.
    """
    gc.disable()
    if (worker := getattr(session.config, "workerinput", None)) is None:
        return
    share = slice(int(worker["workerid"].removeprefix("gw")), None, worker["workercount"])
    for path in sorted((ROOT / "amoc").rglob("*.py"))[share]:
        compileall.compile_file(path, quiet=2)
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        constants_from_module(module)
    asked = [Path(argument.partition("::")[0]).absolute() for argument in session.config.args]
    for path in sorted((ROOT / "tests").rglob("test_*.py"))[share]:
        wanted = any(path.is_relative_to(one) for one in asked)
        if wanted and not pytest_ignore_collect(path, session.config):
            with suppress(Exception, pytest.skip.Exception):  # collection will say so
                import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    items: list[pytest.Item], config: pytest.Config
) -> Generator[None]:
    if "once" in config.option.markexpr:
        for item in items:
            if runs_once(item.path) or SERVERS.intersection(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.once)
    yield
    if (worker := getattr(config, "workerinput", None)) is not None:
        items[:] = slow_first(items, worker["workercount"])


def slow_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Order tests so that each of xdist's workers begins with an equal share of the slow ones.

    xdist deals blocks of equal length, and an idle worker takes tests from the end of a block.
    Ordered by directory, the first block would have all tests with processes and servers, which
    mostly wait, and no quick tests would be left to use the cores at the end.
    """
    unit = ROOT / "tests" / "unit"
    quick = [one for one in items if unit in one.path.parents]
    slow = [one for one in items if unit not in one.path.parents]
    return [
        one
        for number in range(workers)
        for kind in (slow, quick)
        for one in kind[len(kind) * number // workers : len(kind) * (number + 1) // workers]
    ]


@cache
def runs_once(path: Path) -> bool:
    """Return whether a test file, or its whole directory, is `once`."""
    if path in ONCE_FILES or not ONCE.isdisjoint(path.relative_to(ROOT).parts[1:]):
        return True
    return path.suffix == ".py" and imports_only_pure(path)
