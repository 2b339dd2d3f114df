"""A scenario and its files as one archive, for hosts that do not have them.

The archive is a plain tar file with nothing in it but names and contents, in order, so the same
files make the same archive everywhere; it is called by its SHA-256. A host keeps those that it was
sent in its cache, and unpacks one anew for each run: what a scenario writes beside itself changes
no other run.

What belongs to a scenario in a file is all of its directory: helper modules, data files, and the
lock of its dependencies. Left out are hidden files, environments, results of runs and what Python
has compiled. A scenario that is a module is not sent, for it is installed.
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
"""Archives that a cache keeps: those used last."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "amoc-runs"})
_PAGE = re.compile(r"(?:report|compare)-\d{8}T\d{6}.*\.html")
"""What ``amoc report`` and ``amoc compare`` write where they are called."""
_NOT_OF_THE_SCENARIO = ("pyvenv.cfg", "series.amoc")
"""What an environment has, and the results of a run."""
ADVICE = "give the scenario a directory of its own, with nothing in it that it does not need"


@dataclass(frozen=True)
class Bundle:
    """An archive.

    Attributes:
        data: It, as a tar file; empty if there is nothing to send.
        scenario: What to run where it is unpacked.
    """

    data: bytes = field(repr=False)
    scenario: str

    @cached_property  # each node is told it, and the data may be large
    def digest(self) -> str:
        """What it is called; empty if there is nothing to send."""
        return digest_of(self.data)


def digest_of(data: bytes) -> str:
    """What an archive is called; empty if there is none."""
    return hashlib.sha256(data).hexdigest() if data else ""


def made_of(scenario: str, libraries: str = "") -> Bundle:
    """The bundle of a scenario, or of several.

    Args:
        scenario: As in a plan.
        libraries: Where what it depends on is installed here. All hosts get the same versions,
            also where it has no lock file.

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
    # One more than may be sent; a home directory may have millions.
    contents: dict[Path, bytes | None] = dict.fromkeys(islice(found, archives.MAX_FILES + 1))
    contents |= _lock(scenario, libraries)
    data = _packed(root, dict(sorted(contents.items())))
    return Bundle(data, text_of(renamed) if renamed else here(scenario))


def _existing(source: str) -> Path:
    """The file or directory of a scenario; no host is to be fetched for one that is not there."""
    path = Path(source).resolve()
    if not path.exists():
        raise ScenarioError(f"scenario {source} does not exist")
    return path


def _files(top: Path) -> Iterator[Path]:
    """What belongs to the scenarios in a directory; links to directories are not followed."""
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
    """A lock file of what is installed here, where the scenario has none that holds."""
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
    """An archive of files; of those whose content is None, what is there."""
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
    """The archive of that name, if the cache has it, whole."""
    if not _DIGEST.fullmatch(digest):  # it comes from another host, and is to be no path
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
    """Put an archive that has come into the cache, and remove those that were not used for long.

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
    with suppress(OSError):  # another node of this host may tidy up, too
        by_use = sorted(place.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in by_use[KEPT:]:
            old.unlink(missing_ok=True)


def unpack(data: bytes, target: Path) -> None:
    """Write the files of an archive below the new directory `target`.

    Raises:
        UsageError: It has something in it that it must not have.
        OSError: A file cannot be written.
    """
    archives.extract(io.BytesIO(data), target)
