"""Uploads of scenarios: each is checked, and then put in place atomically."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from amoc.base.errors import AmocError, os_error_as
from amoc.base.json_plain import JsonObject
from amoc.service import sent_files
from amoc.service.isolated import answer_of
from amoc.service.problems import Problem, conflict, of_error, unavailable
from amoc.service.scenarios import Scenarios

_CHUNK = 1 << 16
_STAGING = ".upload-"


class Uploads:
    """Stores scenarios in the directory of uploads."""

    def __init__(self, scenarios: Scenarios, allowed: bool, tidy: Callable[[], object]) -> None:
        """Store uploads next to `scenarios`, if allowed; `tidy` deletes unneeded files."""
        self._scenarios = scenarios
        self._allowed = allowed
        self._tidy = tidy

    def take(self, name: str, stream: IO[bytes]) -> JsonObject:
        """Store the scenario `name`, and return its description.

        Args:
            name: Name of the scenario.
            stream: Its source, or an archive.

        Raises:
            Problem: Uploads are disabled, the operator has a scenario of this name, or the upload
                is not a scenario that can be loaded.
        """
        own = self._scenarios.own
        if self._allowed and ((own / f"{name}.py").exists() or (own / name).exists()):
            why = "cannot be replaced; start it by its name, or upload under another name"
            raise conflict(f"{name} is a scenario in the directory {own.name}, and {why}", "name")
        with self._received(stream, name) as (sent, digest):
            found = dict(self._checked(sent, name))
            made = Path(found.pop("path"))
            if made.suffix:  # a file, not the directory of an archive
                directory = sent.with_name("files")
                directory.mkdir()
                made = made.rename(directory / made.name).parent
            place = self._kept(made, digest)
            replaced = self._name(name, place, sent.parent)
        return {"name": name, **found, "replaced": replaced}

    def take_files(self, stream: IO[bytes]) -> str:
        """Store the files of an archive for runs. Return the prefix of the names of its scenarios.

        They are not listed as scenarios of this server, see `amoc.service.sent_files`.

        Raises:
            Problem: Uploads are disabled, or it is not an archive that may be unpacked.
        """
        with self._received(stream) as (sent, digest):
            place = sent_files.place_of(self._scenarios.uploads, digest)
            if not sent_files.use(place):
                self._kept(Path(self._checked(sent, "")["path"]), digest)
        return place.relative_to(self._scenarios.uploads).as_posix()

    @contextmanager
    def _received(self, stream: IO[bytes], name: str = "") -> Iterator[tuple[Path, str]]:
        """Receive an upload into a temporary directory. Yields its path and its digest.

        Args:
            stream: The upload.
            name: Name of the scenario, which the digest includes.

        Raises:
            Problem: Uploads are disabled, or the disk is full.
        """
        if not self._allowed:
            raise Problem(HTTPStatus.FORBIDDEN, "uploads are disabled (--no-upload)")
        base, digest = self._scenarios.uploads, hashlib.sha256(f"{name}\0".encode())
        with os_error_as(unavailable, "the upload cannot be stored"):
            base.mkdir(0o700, parents=True, exist_ok=True)
            with TemporaryDirectory(
                prefix=_STAGING, dir=base, ignore_cleanup_errors=True
            ) as staging:
                sent = Path(staging) / "sent"
                with sent.open("xb") as file:
                    while data := stream.read(_CHUNK):
                        digest.update(data)
                        file.write(data)
                yield sent, digest.hexdigest()

    def _checked(self, sent: Path, name: str) -> JsonObject:
        try:
            return answer_of("intake", str(sent), name)
        except AmocError as error:
            raise of_error(error, "body") from None

    def _kept(self, made: Path, digest: str) -> Path:
        """Move the files of an upload to their final place, unless they exist there. Return it.

        Raises:
            Problem: There is no room for them.
        """
        place = sent_files.place_of(self._scenarios.uploads, digest)
        place.parent.mkdir(0o700, exist_ok=True)
        if not sent_files.use(place):
            self._need_room(made)
            made.rename(place)
        return place

    def _need_room(self, made: Path) -> None:
        most = sent_files.MAX_BYTES - sent_files.size_of(made)
        if sent_files.total(self._scenarios.uploads) <= most:
            return
        self._tidy()
        if (there := sent_files.total(self._scenarios.uploads)) > most:
            raise Problem(
                HTTPStatus.INSUFFICIENT_STORAGE,
                f"uploaded files take {there:,} of at most {sent_files.MAX_BYTES:,} bytes;"
                " those of a run are deleted with it, others an hour after the upload",
            )

    def _name(self, name: str, place: Path, staging: Path) -> bool:
        """Link a name to the files of an upload. Return whether it replaced something."""
        base = self._scenarios.uploads
        link = base / name
        old = [one for one in (link, base / f"{name}.py") if one.exists()]
        for one in old:
            if one.is_symlink():
                sent_files.use(one)  # a run may be about to load it
            else:
                one.rename(staging / f"old-{one.name}")
        new = staging / "link"
        new.symlink_to(place.relative_to(base))
        new.replace(link)
        return bool(old)


def clear(base: Path) -> None:
    """Delete what an earlier server has left unfinished."""
    for one in base.glob(f"{_STAGING}*"):
        shutil.rmtree(one, ignore_errors=True)
