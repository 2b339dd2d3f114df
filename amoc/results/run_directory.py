"""The run directory: where a run keeps its files and can be reached while it is running.

``amoc-runs/<when>-<scenario>/``, accessible to its owner only. A run is running if its control
socket answers. The existence of the socket's file proves nothing, since a killed run leaves it
behind.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from amoc.base.errors import ResourceError, UsageError
from amoc.base.text import natural
from amoc.base.unix_socket import reachable
from amoc.results import journal

BASE = "amoc-runs"
MAX_TWINS = 1_000
ANSWER_S = 2.0

_LAST = re.compile(r"last(?:~(\d{1,6}))?")


class _Part:
    """A file or subdirectory of a run directory."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, directory: RunDirectory, _kind: object) -> Path:
        return directory.path / self._name


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one run.

    Attributes:
        made: The directories that were created for it, innermost first.
    """

    path: Path
    made: tuple[Path, ...] = ()

    journal = _Part("journal.jsonl")
    """The journal."""
    series = _Part("series.amoc")
    """The series of seconds, see `amoc.results.store`."""
    old_series = _Part("series.jsonl")
    """The series as written by earlier versions of amoc, see `amoc.results.store.lines`."""
    summary = _Part("summary.json")
    """The summary; a run that was killed has none."""
    report = _Part("report.html")
    """The HTML report."""
    junit = _Part("junit.xml")
    """The verdict for a CI server."""
    logs = _Part("logs")
    """The directory with a log for each process."""
    control = _Part("control")
    """The socket on which the run accepts commands."""

    @classmethod
    def create(
        cls, explicit: str | None, scenario_name: str, started_at: datetime, base: str = BASE
    ) -> RunDirectory:
        """Create the directory of a new run.

        Args:
            explicit: The directory to use; None means a new one in `base`.
            scenario_name: Part of the name of a new one.
            started_at: When the run begins, also part of the name.
            base: Where new ones are created.

        Raises:
            UsageError: `explicit` is a file, or is not empty.
            ResourceError: It cannot be created.
        """
        if explicit is not None:
            return cls._at(Path(explicit))
        name = name_of_new(scenario_name, started_at)
        made: list[Path] = []
        try:
            _make_parents(Path(base), made)
            for twin in range(1, MAX_TWINS):
                path = Path(base) / (name if twin == 1 else f"{name}-{twin}")
                with contextlib.suppress(FileExistsError):
                    path.mkdir(0o700)
                    return cls(path, (path, *made))
        except OSError as error:
            _remove(made)
            raise ResourceError(
                f"run directory {base}/{name} cannot be created: {_why(error)};"
                " choose another place with --run-dir DIR"
            ) from None
        raise ResourceError(
            f"run directory {base}/{name} cannot be created: {MAX_TWINS - 1} of that name exist;"
            " choose another place with --run-dir DIR"
        )

    @classmethod
    def _at(cls, path: Path) -> RunDirectory:
        made: list[Path] = []
        try:
            if path.is_dir():
                if any(path.iterdir()):
                    raise UsageError(f"--run-dir {path} must be new or empty, but holds files")
                path.chmod(0o700)
                return cls(path)
            _make_parents(path.parent, made)
            path.mkdir(0o700)
        except OSError as error:
            _remove(made)
            if isinstance(error, FileExistsError | NotADirectoryError):
                raise UsageError(f"--run-dir must be a directory, got the file {path}") from None
            raise ResourceError(f"--run-dir {path} cannot be created: {_why(error)}") from None
        return cls(path, (path, *made))

    @property
    def id(self) -> str:
        """The name by which commands may refer to the run."""
        return self.path.resolve().name

    def answers(self) -> bool:
        """Return whether a run answers on the control socket."""
        try:
            self.control.stat()  # most runs have ended: this costs less than a socket
        except OSError:
            return False
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_S)
            try:
                with reachable(self.control) as address:
                    line.connect(address)
            except TimeoutError:
                return True  # too busy to accept, but running
            except OSError as error:
                return error.errno == errno.EAGAIN
        return True

    def discard(self) -> None:
        """Remove the directory with everything that amoc put there: the run did not begin."""
        with contextlib.suppress(OSError):
            for log in self.logs.glob("*.jsonl"):
                log.unlink()
            if self.logs.is_dir():
                self.logs.rmdir()
            for file in (self.journal, self.series, self.control):
                file.unlink(missing_ok=True)
        _remove(self.made)


def name_of_new(scenario_name: str, started_at: datetime) -> str:
    """Return the name of a run's directory, unless a directory of that name already exists."""
    return f"{started_at:%Y%m%dT%H%M%S}-{_plain(scenario_name)}"


def locate(run: str, base: str = BASE, what: str = "--run") -> RunDirectory:
    """Return the directory of a run, running or not.

    It is identified by its path, its name or a prefix of it, the run's id, or ``last`` for the
    newest in `base`, ``last~1`` for the one before it, and so on.

    Args:
        run: What the operator calls it.
        base: Where to look for runs.
        what: What messages call the argument.

    Raises:
        UsageError: There is no such run, or there are several.
    """
    with contextlib.suppress(OSError):  # for example, too long for a file name
        if run and Path(run).is_dir():
            return RunDirectory(Path(run))
    found = named(run, base)
    if not found:
        raise UsageError(
            f"{what} must be last (or last~1 and so on), the directory of a run or the id of a run"
            f" in {base}, got {run!r}"
        )
    if len(found) > 1:
        raise UsageError(f"{what} {run} is ambiguous: it may be {_listed(found)}")
    return found[0]


def named(run: str, base: str = BASE) -> list[RunDirectory]:
    """Return the runs in `base` that `run` may mean: by anything that `locate` takes but a path."""
    there = all_runs(base)
    if (newest := last_of(run, there)) is not None:
        return [newest]
    return (
        [one for one in there if one.id == run]
        or [one for one in there if one.id.startswith(run or "\0")]
        or [one for one in there if journal.run_id(one.journal) == run]
    )


def find(run: str | None = None, base: str = BASE) -> RunDirectory:
    """Return the running run that a command refers to.

    Args:
        run: Its directory or id; None means the only one that is running.
        base: Where to look for runs.

    Raises:
        UsageError: It is not running, none is running, or several are.
    """
    if run is not None:
        chosen = locate(run, base)
        if not chosen.answers():
            raise UsageError(f"run {chosen.path} is not running: it does not answer")
        return chosen
    running = [one for one in all_runs(base) if one.answers()]
    if not running:
        raise UsageError(f"no run is running here (looked in {base}); choose one with --run DIR")
    if len(running) > 1:
        raise UsageError(f"several runs are running: {_listed(running)}; choose one with --run DIR")
    return running[0]


def all_runs(base: str = BASE) -> list[RunDirectory]:
    """Return all run directories in `base`, newest first; hidden ones are something else."""
    try:
        paths = [one for one in Path(base).iterdir() if one.is_dir() and one.name[0] != "."]
    except OSError:
        return []
    return [RunDirectory(path) for path in sorted(paths, key=_age, reverse=True)]


def _age(path: Path) -> list[tuple[int, str]]:
    return natural(path.name)  # the tenth run of a second is newer than its second one


def runs(base: str = BASE) -> Iterator[RunDirectory]:
    """Iterate over those of `all_runs` in which a run has begun."""
    return _begun(all_runs(base))


def _begun(there: list[RunDirectory]) -> Iterator[RunDirectory]:
    return (one for one in there if one.journal.exists())


def last_of(run: str, there: list[RunDirectory]) -> RunDirectory | None:
    """Return the run called ``last``, ``last~1`` and so on; None if `run` is not such a name."""
    found = _LAST.fullmatch(run)
    back = int(found[1] or 0) if found else 0
    return next(islice(_begun(there), back, None), None) if found else None


def _listed(runs: list[RunDirectory]) -> str:
    more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
    return ", ".join(str(one.path) for one in runs[:5]) + more


def _plain(name: str) -> str:
    """Return `name` in a form that needs no quoting in a shell."""
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip(".-")[:60] or "scenario"


def _make_parents(path: Path, made: list[Path]) -> None:
    """Create `path` and its parents; new directories are inserted at the front of `made`."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another run makes it at the same time
            one.mkdir()
            made.insert(0, one)


def _remove(made: list[Path] | tuple[Path, ...]) -> None:
    for path in made:
        with contextlib.suppress(OSError):  # by now another run may use it
            path.rmdir()


def _why(error: OSError) -> str:
    return error.strerror or str(error)
