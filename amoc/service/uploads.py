"""Takes scenarios that clients send: each is checked, then put in its place as a whole."""

from __future__ import annotations

import shutil
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from amoc.base.errors import AmocError
from amoc.service.isolated import DESCRIBE_S, answer_of
from amoc.service.problems import Problem, conflict, of_error
from amoc.service.scenarios import Scenarios

_CHUNK = 1 << 16
_STAGING = ".upload-"


class Uploads:
    """Puts scenarios into the directory of uploads."""

    def __init__(self, scenarios: Scenarios, allowed: bool) -> None:
        self._scenarios = scenarios
        self._allowed = allowed

    def take(self, name: str, stream: IO[bytes], keep: bool = True) -> dict[str, Any]:
        """Keep the scenario `name` that `stream` holds; what it says of itself.

        Args:
            name: What it is called.
            stream: Its source, or an archive with it.
            keep: Whether it is kept; else it is only loaded.

        Raises:
            Problem: There are no uploads here, the name is one of the operator's scenarios, or it
                is no scenario that can be loaded.
        """
        if not self._allowed:
            raise Problem(HTTPStatus.FORBIDDEN, "uploads are switched off here (--no-upload)")
        own = self._scenarios.own
        if keep and ((own / f"{name}.py").exists() or (own / name).exists()):
            why = "cannot be replaced; start that one by its name, or upload under another name"
            raise conflict(f"{name} is a scenario of the directory {own.name}, and {why}", "name")
        base = self._scenarios.uploads
        base.mkdir(0o700, parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=base))
        try:
            sent = staging / "sent"
            with sent.open("xb") as file:
                while data := stream.read(_CHUNK):
                    file.write(data)
            found = self._checked(sent, name)
            made = Path(found.pop("path"))
            replaced = keep and self._place(made, base, staging)
        except OSError as error:
            why = f"the upload cannot be kept: {error.strerror}"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, why) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return {"name": name, **found, "replaced": replaced}

    def _checked(self, sent: Path, name: str) -> dict[str, Any]:
        try:
            return answer_of("amoc.service.intake", [str(sent), name], DESCRIBE_S)
        except AmocError as error:
            raise of_error(error, "body") from None

    def _place(self, made: Path, base: Path, staging: Path) -> bool:
        """Move what was made to its place; whether it replaces something."""
        name = made.stem
        old = [one for one in (base / name, base / f"{name}.py") if one.exists()]
        if made.suffix and old == [base / made.name]:
            made.replace(base / made.name)
            return True
        for one in old:
            one.rename(staging / f"old-{one.name}")
        made.rename(base / made.name)
        return bool(old)


def clear(base: Path) -> None:
    """Remove what a server before this one has left half done."""
    for one in base.glob(f"{_STAGING}*"):
        shutil.rmtree(one, ignore_errors=True)
