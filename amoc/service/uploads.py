"""Takes scenarios that clients send: each is checked, then put in its place as a whole."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from amoc.base.errors import AmocError
from amoc.service import sent_files
from amoc.service.isolated import DESCRIBE_S, answer_of
from amoc.service.problems import Problem, conflict, of_error
from amoc.service.scenarios import Scenarios

_CHUNK = 1 << 16
_STAGING = ".upload-"


class Uploads:
    """Puts scenarios into the directory of uploads."""

    def __init__(self, scenarios: Scenarios, allowed: bool, tidy: Callable[[], object]) -> None:
        """Put them beside `scenarios`, if that is allowed; `tidy` removes what nobody needs."""
        self._scenarios = scenarios
        self._allowed = allowed
        self._tidy = tidy

    def take(self, name: str, stream: IO[bytes]) -> dict[str, Any]:
        """Keep the scenario `name` that `stream` holds; what it says of itself.

        Args:
            name: What it is called.
            stream: Its source, or an archive with it.

        Raises:
            Problem: There are no uploads here, the name is one of the operator's scenarios, or it
                is no scenario that can be loaded.
        """
        own = self._scenarios.own
        if self._allowed and ((own / f"{name}.py").exists() or (own / name).exists()):
            why = "cannot be replaced; start that one by its name, or upload under another name"
            raise conflict(f"{name} is a scenario of the directory {own.name}, and {why}", "name")
        with self._received(stream, name) as (sent, digest):
            found = self._checked(sent, name)
            made = Path(found.pop("path"))
            if made.suffix:  # a file, not the directory of an archive
                directory = sent.with_name("files")
                directory.mkdir()
                made = made.rename(directory / made.name).parent
            place = self._kept(made, digest)
            replaced = self._name(name, place, sent.parent)
        return {"name": name, **found, "replaced": replaced}

    def take_files(self, stream: IO[bytes]) -> str:
        """Keep the files in the archive that `stream` holds, for runs; how names in it begin.

        They are no scenarios of this server: see `amoc.service.sent_files`.

        Raises:
            Problem: There are no uploads here, or it is no archive that may be unpacked.
        """
        with self._received(stream) as (sent, digest):
            place = sent_files.place_of(self._scenarios.uploads, digest)
            if not sent_files.use(place):
                self._kept(Path(self._checked(sent, "")["path"]), digest)
        return place.relative_to(self._scenarios.uploads).as_posix()

    @contextmanager
    def _received(self, stream: IO[bytes], name: str = "") -> Iterator[tuple[Path, str]]:
        """What `stream` holds, as a file in a directory of its own that is removed; its digest.

        Args:
            stream: What a client sends.
            name: What it is called, which the digest is of, too.

        Raises:
            Problem: There are no uploads here, or there is no room.
        """
        if not self._allowed:
            raise Problem(HTTPStatus.FORBIDDEN, "uploads are switched off here (--no-upload)")
        base = self._scenarios.uploads
        staging, digest = None, hashlib.sha256(f"{name}\0".encode())
        try:
            base.mkdir(0o700, parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=base))
            sent = staging / "sent"
            with sent.open("xb") as file:
                while data := stream.read(_CHUNK):
                    digest.update(data)
                    file.write(data)
            yield sent, digest.hexdigest()
        except OSError as error:
            why = f"the upload cannot be kept: {error.strerror}"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, why) from None
        finally:
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)

    def _checked(self, sent: Path, name: str) -> dict[str, Any]:
        try:
            return answer_of("amoc.service.intake", [str(sent), name], DESCRIBE_S)
        except AmocError as error:
            raise of_error(error, "body") from None

    def _kept(self, made: Path, digest: str) -> Path:
        """Where the files of a directory are from now on, or were before.

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
                f"files that were sent take {there:,} of at most {sent_files.MAX_BYTES:,} bytes;"
                " those of a run are removed with it, others an hour after they were sent",
            )

    def _name(self, name: str, place: Path, staging: Path) -> bool:
        """Have a name lead to the files there; whether it replaces something."""
        base = self._scenarios.uploads
        link = base / name
        old = [one for one in (link, base / f"{name}.py") if one.exists()]
        for one in old:
            if one.is_symlink():
                sent_files.use(one)  # somebody may be about to load it
            else:
                one.rename(staging / f"old-{one.name}")
        new = staging / "link"
        new.symlink_to(place.relative_to(base))
        new.replace(link)
        return bool(old)


def clear(base: Path) -> None:
    """Remove what a server before this one has left half done."""
    for one in base.glob(f"{_STAGING}*"):
        shutil.rmtree(one, ignore_errors=True)
