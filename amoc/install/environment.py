"""Environments of scenarios: directories of libraries in the cache, created once and never changed.

An environment is identified by what it is made from: the requirements or the lock, the Python, and
the versions of everything in amoc's own environment, since it is layered on top of that. It is
built next to its final place and renamed when it is complete, so environments there are always
complete. A file lock makes sure that only one process builds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amoc.base import user_cache
from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import ResourceError, ScenarioError, os_error_as
from amoc.base.polling import poll
from amoc.install import cached_environments, installers, lock_file, own
from amoc.install.cached_environments import RESOLVED, locked
from amoc.install.choice import Choice
from amoc.install.declared import Declared, declared, pinned
from amoc.install.installers import Installer, Uv, Work
from amoc.install.lock_file import Lock, Pin, UvLock
from amoc.install.requirements import constraints, is_met, name_of

FORMAT = 1
LOOK_S = 0.1
LIBRARIES = "lib"
MISSING = "missing"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Dependency:
    """A version that a scenario gets, and its source: ``amoc``, ``installed``, or ``missing``."""

    name: str
    version: str
    state: str


@dataclass(frozen=True)
class Environment:
    """The libraries that a scenario is run with.

    Attributes:
        libraries: The directory that is searched after amoc's own; empty if there is none.
        dependencies: All direct and indirect dependencies, as far as they are known.
    """

    libraries: str = ""
    dependencies: tuple[Dependency, ...] = ()


class Preparation:
    """Prepares the environment of one scenario."""

    def __init__(self, scenario: str, choice: Choice, tell: Tell) -> None:
        """Read the dependencies that the scenario declares.

        Args:
            scenario: A file or a module.
            choice: How to obtain dependencies.
            tell: Called with lines for the operator.

        Raises:
            ScenarioError: The declaration is wrong.
        """
        self._scenario = scenario
        self._choice = choice
        self._tell = tell
        self._declared = declared(scenario) or Declared((), ())
        self._own = own.distributions() if self._declared.files else {}
        self._wanted = tuple(own.without_amoc(self._declared.requirements, self._declared.name))
        self._give_up_ns = now_ns() + int(choice.timeout_s * S_NS)

    def environment(self) -> Environment:
        """Return the environment, after installing it if necessary.

        Raises:
            ScenarioError: The dependencies cannot be installed; includes the installer's output.
            ResourceError: There is no installer, not enough space, or not enough time.
        """
        if not self._needed():
            return Environment(dependencies=self._shown(()))
        lock = self._lock()
        place = cached_environments.directory() / self._key(lock)
        if not cached_environments.use(place):
            if not self._choice.install:
                self._tell(
                    f"warning: the dependencies of {self._scenario} are not installed"
                    " (--no-install)"
                )
                return Environment(dependencies=self._shown(()))
            with self._building(place):
                if not cached_environments.use(place):
                    self._build(lock, place)
                    cached_environments.use(place)
            cached_environments.prune(self._tell)
        found = lock_file.pins((place / RESOLVED).read_text())
        return Environment(str(place / LIBRARIES), self._shown(found))

    def checked(self) -> Environment:
        """Return the environment; if it must not be installed, with everything that would be.

        Raises:
            ScenarioError: As `environment`, or the dependencies cannot be resolved.
            ResourceError: As `environment`.
        """
        found = self.environment()
        if found.libraries or self._choice.install:
            return found
        return Environment(dependencies=self._resolved())

    def _resolved(self) -> tuple[Dependency, ...]:
        if not self._needed():
            return self._shown(())
        lock = self._lock()
        with self._scratch() as directory:
            return self._shown(self._pins(lock, directory), MISSING)

    def make_lock(self) -> Path | None:
        """Resolve again and write the lock file; return its path, or None without dependencies.

        Raises:
            ScenarioError: They cannot be resolved.
            ResourceError: It cannot be written.
        """
        from amoc.base import atomic_write

        if not self._declared.files:
            return None
        with self._scratch() as directory:
            pins = self._resolve(directory, self._wanted)
        lock = Lock(self._declared.digest, PYTHON, pins)
        path = self._declared.lock
        if path is None:
            raise ScenarioError(f"there is no lock file for several files: {self._declared.name}")
        with os_error_as(ResourceError, f"{path} cannot be written"):
            atomic_write.write_text(
                path, lock.text(self._declared.files[0].name, self._scenario), mode=0o666
            )
        return path

    # Requirements and lock

    def _needed(self) -> tuple[str, ...]:
        """Return the requirements that amoc's own environment does not meet."""
        return tuple(one for one in self._wanted if not is_met(one, self._own))

    def _shown(self, pins: Sequence[Pin], state: str = "installed") -> tuple[Dependency, ...]:
        """Return the pins, and the requirements that amoc's own environment meets."""
        known = {one.name for one in pins}
        met = {name_of(one) or "" for one in self._wanted if is_met(one, self._own)} - known
        mine = [Dependency(name, self._own[name], "amoc") for name in met]
        theirs = [
            Dependency(one.name, one.version, "amoc" if one.name in self._own else state)
            for one in pins
        ]
        return tuple(sorted((*mine, *theirs), key=lambda one: one.name))

    def _lock(self) -> Lock | UvLock | None:
        """Return the lock file if it exists and is valid; uv's own is validated when it is used.

        Raises:
            ScenarioError: It is not valid, and must be.
        """
        why, found = "", self._declared
        if found.lock is None or not found.lock.is_file():
            if found.uv_lock is not None and found.uv_lock.is_file():
                digest = hashlib.sha256(found.uv_lock.read_bytes()).hexdigest()
                return UvLock(found.uv_lock, found.files[0], digest)
            if self._choice.locked and not pinned(self._needed()):
                why = f"there is no {found.lock or 'lock file for several files'}"
                why += f", and not every requirement of {found.name} is pinned (==) with its hash"
        else:
            try:
                lock = lock_file.read(found.lock.read_text())
            except (ValueError, OSError) as error:
                why = f"{found.lock} is not a lock file: {error}"
            else:
                why = self._why_invalid(lock)
                if not why:
                    return lock
        if why and self._choice.locked:
            raise ScenarioError(
                f"the dependencies of {self._scenario} are not locked: {why}; lock them with:"
                f" amoc check {self._scenario} --lock"
            )
        if why:
            self._tell(
                f"warning: {why}, so it is not used; to renew it:"
                f" amoc check {self._scenario} --lock"
            )
        return None

    def _why_invalid(self, lock: Lock) -> str:
        """Return why a lock is not valid; empty if it is."""
        found = self._declared
        if lock.digest != found.digest:
            return f"{found.lock} does not match what {found.name} requires"
        if lock.python != PYTHON:
            return f"{found.lock} is for Python {lock.python}, and this is {PYTHON}"
        names = {one.name for one in lock.pins}
        lacking = [one for one in self._needed() if (name_of(one) or "") not in {*names, ""}]
        if lacking:
            return f"{found.lock} lacks {', '.join(lacking)}"
        if self._choice.locked and (bare := [one.name for one in lock.pins if not one.hashed]):
            return f"{found.lock} has no hashes of {', '.join(bare)}"
        try:
            lock_file.to_install(lock.pins, self._own)
        except ValueError as error:
            return f"{found.lock} cannot be used here: {error}"
        return ""

    def _key(self, lock: Lock | UvLock | None) -> str:
        made_of: object = sorted(self._needed())
        if isinstance(lock, UvLock):
            made_of = [made_of, lock.digest, self._choice.locked]
        elif lock is not None:
            made_of = [one.line for one in lock.pins]
        parts = (
            FORMAT,
            sys.implementation.cache_tag,
            platform.machine(),
            made_of,
            self._declared.options,
            self._declared.constraints,
            list(constraints(self._own)),
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    # Building

    def _pins(self, lock: Lock | UvLock | None, directory: Path) -> tuple[Pin, ...]:
        """Return all versions that the requirements resolve to, from the lock if there is one."""
        if lock is None:
            return self._resolve(directory, self._needed())
        if isinstance(lock, Lock):
            return lock.pins
        try:
            return self._exported(lock, directory)
        except ScenarioError as error:
            if self._choice.locked:
                raise
            self._tell(f"warning: {lock.path} is not used: {error}")
        return self._resolve(directory, self._needed())

    def _exported(self, lock: UvLock, directory: Path) -> tuple[Pin, ...]:
        """Return the contents of uv's own lock.

        Raises:
            ScenarioError: It is not valid; the message says why.
        """
        installer = installers.choose()
        if not isinstance(installer, Uv):
            raise ScenarioError(f"{lock.path} is a lock of uv, and {installer.name} cannot read it")
        try:
            pins = installer.exported(lock, self._work(directory))
        except ScenarioError as error:
            raise ScenarioError(f"{error}\nto renew it: uv lock --script {lock.script}") from None
        pins = tuple(one for one in pins if one.name not in own.GIVEN)
        if bare := [one.name for one in pins if not one.hashed and self._choice.locked]:
            raise ScenarioError(f"{lock.path} has no hashes of {', '.join(bare)}")
        return pins

    def _resolve(self, directory: Path, wanted: Sequence[str]) -> tuple[Pin, ...]:
        requirements, limits = directory / "requirements.in", directory / "constraints.txt"
        _write(requirements, (*self._declared.options, *wanted))
        _write(limits, (*self._declared.constraints, *constraints(self._own)))
        try:
            return installers.choose().resolve(requirements, limits, self._work(directory))
        except ScenarioError as error:
            raise ScenarioError(f"{error}{self._hint()}") from None

    def _hint(self) -> str:
        """Return which of the requirements amoc's own environment has in a fixed version."""
        names = {name_of(one) for one in self._needed()}
        mine = [f"{name} {version}" for name, version in self._own.items() if name in names]
        if not mine:
            return ""
        return f"\namoc itself has {', '.join(sorted(mine))}, and no other version can be used"

    def _build(self, lock: Lock | UvLock | None, place: Path) -> None:
        installer: Installer = installers.choose()
        self._tell(f"installing the dependencies of {self._scenario} with {installer.name}")
        for stale in place.parent.glob(f"{place.name}.made-*"):  # left by a killed process
            shutil.rmtree(stale, ignore_errors=True)
        made = place.with_name(f"{place.name}.made-{os.getpid()}")
        try:
            made.mkdir(0o700)
            (made / LIBRARIES).mkdir()
            with self._scratch() as directory:
                pins = self._pins(lock, directory)
                missing = lock_file.to_install(pins, self._own)
                if missing:
                    wanted = directory / "install.txt"
                    _write(wanted, (*self._declared.options, *(one.line for one in missing)))
                    installer.install(wanted, made / LIBRARIES, self._work(directory))
            _write(made / RESOLVED, [one.line for one in pins])
            made.rename(place)
        except ValueError as error:
            raise ScenarioError(
                f"the dependencies of {self._scenario} cannot be installed: {error}"
            ) from None
        except OSError as error:
            raise ResourceError(f"{made} cannot be created: {error.strerror}") from None
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _work(self, directory: Path) -> Work:
        what, place = f"what {self._declared.name} requires", self._declared.files[0].resolve()
        return Work(what, directory, place.parent, self._give_up_ns, self._choice.timeout_s)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """Provide a temporary directory for an installer's files."""
        import tempfile

        with tempfile.TemporaryDirectory(prefix="amoc-resolve-") as directory:
            yield Path(directory)

    @contextmanager
    def _building(self, place: Path) -> Iterator[None]:
        """Hold the lock that lets only this process build the environment `place`."""
        path = place.with_name(f"{place.name}.lock")
        with os_error_as(
            ResourceError,
            f"dependencies cannot be installed: {path} cannot be written",
            f"; {user_cache.PLACE}",
        ):
            place.parent.mkdir(0o700, parents=True, exist_ok=True)
            file = path.open("a")
        left_s = (self._give_up_ns - now_ns()) / S_NS
        with file:
            if not poll(lambda: locked(file, fcntl.LOCK_EX), left_s, LOOK_S):
                raise ResourceError(
                    f"the dependencies of {self._scenario} are being installed by another"
                    f" process, which has not finished within"
                    f" {format_duration(self._choice.timeout_s)} (--install-timeout)"
                )
            yield


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
