"""A scenario and its files as one archive, for hosts that do not have them.

The archive is a plain tar file of names and contents, in a fixed order, so the same files make the
same archive everywhere; it is identified by its SHA-256. A host caches the archives that it
receives, and unpacks one again for each run: files that a scenario writes next to itself affect no
other run.

A scenario in a file is sent with its whole directory: helper modules, data files, and the lock file
of its dependencies. Hidden files, environments, results of runs and compiled Python files are left
out. A scenario given as a module is not sent, since it is installed.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from amoc.base import archives, atomic_write, user_cache
from amoc.base.errors import PeerError, ResourceError, ScenarioError, UsageError, os_error_as
from amoc.install import lock_file
from amoc.install.cached_environments import RESOLVED
from amoc.install.declared import declared
from amoc.install.environment import PYTHON
from amoc.install.lock_file import Lock
from amoc.scenario.scenario_files import Part, is_path, parts_of, text_of

KEPT = 20
"""The number of archives in a cache: the most recently used."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "amoc-runs"})
_PAGE = re.compile(r"(?:report|compare)-\d{8}T\d{6}.*\.html")
"""Files that ``amoc report`` and ``amoc compare`` write to the working directory."""
_NOT_OF_THE_SCENARIO = ("pyvenv.cfg", "series.amoc")
"""Files that identify an environment, and the results of a run."""
ADVICE = "put the scenario into its own directory, with only the files that it needs"


@dataclass(frozen=True)
class Bundle:
    """An archive.

    Attributes:
        data: A tar file; empty if there is nothing to send.
        scenario: The scenario to run, relative to where the archive is unpacked.
    """

    data: bytes = field(repr=False)
    scenario: str

    @cached_property  # sent to each node, and the data may be large
    def digest(self) -> str:
        """The archive's name; empty if there is nothing to send."""
        return digest_of(self.data)


def digest_of(data: bytes) -> str:
    """Return an archive's name; empty if there is none."""
    return hashlib.sha256(data).hexdigest() if data else ""


def made_of(scenario: str, libraries: str = "") -> Bundle:
    """Return the bundle of a scenario, or of several.

    Args:
        scenario: As in a plan.
        libraries: Where its dependencies are installed on this host. All hosts get the same
            versions, even without a lock file.

    Raises:
        ScenarioError: It does not exist, is too large, or has files that cannot be sent.
        ResourceError: A file cannot be read.
    """
    several = parts_of(scenario)
    sources = [one.source for one in several] or [scenario]
    files = [_existing(one) for one in sources if is_path(one)]
    if not files:
        return Bundle(b"", scenario)
    tops = [one if one.is_dir() else one.parent for one in files]
    root = Path(os.path.commonpath([one.parent if one in files else one for one in tops]))

    def here(source: str) -> str:
        path = Path(source).resolve()
        return str(path.relative_to(root)) if path in files else source

    renamed = [Part(here(one.source), one.load) for one in several]
    found = (path for top in tops for path in _files(top))
    # One file more than may be sent; a home directory may have millions.
    contents: dict[Path, bytes | None] = dict.fromkeys(islice(found, archives.MAX_FILES + 1))
    contents |= _lock(scenario, libraries)
    data = _packed(root, dict(sorted(contents.items())))
    return Bundle(data, text_of(renamed) if renamed else here(scenario))


def _existing(source: str) -> Path:
    """Return a scenario's path; fail before hosts are set up if it does not exist."""
    path = Path(source).resolve()
    if not path.exists():
        raise ScenarioError(f"scenario {source} does not exist")
    return path


def _files(top: Path) -> Iterator[Path]:
    """Yield the files that belong to scenarios in `top`; links to directories are not followed."""
    for at, directories, names in os.walk(top):
        if any(one in names for one in _NOT_OF_THE_SCENARIO) and Path(at) != top:
            directories.clear()
            continue
        directories[:] = [one for one in directories if one[0] != "." and one not in _LEFT_OUT]
        for name in names:
            path = Path(at, name)
            left_out = name[0] == "." or name.endswith(".pyc") or _PAGE.fullmatch(name)
            if not left_out and path.is_file():
                yield path


def _lock(scenario: str, libraries: str) -> dict[Path, bytes | None]:
    """Return a lock file of what is installed here, unless the scenario has one that matches."""
    found = declared(scenario) if libraries else None
    if found is None or found.lock is None:
        return {}
    resolved = Path(libraries).with_name(RESOLVED)
    pins = lock_file.pins(resolved.read_text())
    with suppress(OSError, ValueError):
        if lock_file.read(found.lock.read_text()).pins == pins:
            return {}
    lock = Lock(found.digest, PYTHON, pins)
    return {found.lock.resolve(): lock.text(found.files[0].name, scenario).encode()}


def _packed(root: Path, contents: Mapping[Path, bytes | None]) -> bytes:
    """Return an archive of files; those whose content is None are read."""
    if len(contents) > archives.MAX_FILES:
        rule = f"at most {archives.MAX_FILES:,} files can be sent with a scenario"
        raise ScenarioError(f"{rule}, and {root} has more: {ADVICE}")
    made, size = io.BytesIO(), 0
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, given in contents.items():
            name = path.relative_to(root).as_posix()
            try:
                archives.parts_of(name)
                size += path.stat().st_size if given is None else len(given)
                if size > archives.MAX_BYTES:  # before it is read: it may be larger than memory
                    rule = f"at most {archives.MAX_BYTES:,} bytes can be sent with a scenario"
                    raise ScenarioError(f"{rule}, and {root} has more: {ADVICE}")
                content = path.read_bytes() if given is None else given
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o600
                archive.addfile(member, io.BytesIO(content))
            except (UsageError, ValueError) as error:
                raise ScenarioError(f"{path} cannot be sent: {error}") from None
            except OSError as error:
                raise ResourceError(f"{path} cannot be read: {error.strerror}") from None
    return made.getvalue()


def cached(digest: str) -> bytes | None:
    """Return the archive of that name if the cache has it intact."""
    if not _DIGEST.fullmatch(digest):  # it comes from another host, and must not be a path
        return None
    path = user_cache.directory("bundles") / digest
    try:
        data = path.read_bytes()
        if digest_of(data) != digest:
            path.unlink()
            return None
        os.utime(path)
    except OSError:
        return None
    return data


def keep(data: bytes, digest: str) -> None:
    """Put an archive that was received into the cache, and remove the least recently used ones.

    Raises:
        PeerError: It is not the one of that name.
        ResourceError: It cannot be written.
    """
    if digest_of(data) != digest:
        raise PeerError("the bundle received is not the one that was announced")
    place = user_cache.directory("bundles")
    with os_error_as(ResourceError, f"{place / digest} cannot be written", f"; {user_cache.PLACE}"):
        place.mkdir(0o700, parents=True, exist_ok=True)
        atomic_write.write_bytes(place / digest, data)
    with suppress(OSError):  # another node of this host may do the same
        by_use = sorted(place.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in by_use[KEPT:]:
            old.unlink(missing_ok=True)


def unpack(data: bytes, target: Path) -> None:
    """Write the files of an archive to the new directory `target`.

    Raises:
        UsageError: It contains something that is not allowed.
        OSError: A file cannot be written.
    """
    archives.extract(io.BytesIO(data), target)
