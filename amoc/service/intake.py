"""Checks an upload, in a process of its own: unpacks it, and loads the scenario in it.

To load a scenario runs its module, so whoever may upload may run code here.
"""

from __future__ import annotations

from pathlib import Path

from amoc.base import archives
from amoc.base.errors import AmocError, UsageError
from amoc.service.isolated_main import main_of

MAX_SOURCE_BYTES = 1 << 20


def take(upload: str, name: str) -> dict[str, object]:
    """What the upload says of itself, see `describe`; and `path`, where it is now.

    Args:
        upload: What was sent, in a directory of its own.
        name: What the scenario is to be called; empty for an archive that is only unpacked.

    Raises:
        AmocError: It is no scenario; messages do not show where it was.
    """
    sent = Path(upload).resolve()
    try:
        if not name:
            return {"path": str(_files(sent))}
        from amoc.service.describe import scenario  # loads all that a scenario may need

        path, main = _unpacked(sent, name)
        return {**scenario(str(main)), "path": str(path)}
    except AmocError as error:
        shown = AmocError(str(error).replace(f"{sent.parent}/", ""))
        shown.exit_code = error.exit_code
        raise shown from None
    except OSError as error:
        raise UsageError(f"the upload cannot be kept: {error.strerror}") from None


def _files(sent: Path) -> Path:
    """Where the files of an archive are, which must be one."""
    directory = sent.with_name("files")
    with sent.open("rb") as file:
        if not archives.is_archive(file.read(archives.HEAD_BYTES)):
            raise UsageError("the body must be an archive, zip or tar, and is none")
        archives.extract(file, directory)
    return directory


def _unpacked(sent: Path, name: str) -> tuple[Path, Path]:
    """Where the scenario, or the directory of its files, is, and the file that is loaded."""
    with sent.open("rb") as file:
        if archives.is_archive(file.read(archives.HEAD_BYTES)):
            directory = sent.with_name(name)
            archives.extract(file, directory)
            return directory, _main_of(directory, name)
    data = sent.read_bytes()
    if not 0 < len(data) <= MAX_SOURCE_BYTES:
        raise UsageError(
            f"a scenario must have from 1 to {MAX_SOURCE_BYTES:,} bytes, got {len(data):,}"
        )
    return (path := sent.rename(sent.with_name(f"{name}.py"))), path


def _main_of(directory: Path, name: str) -> Path:
    path = directory / f"{name}.py"
    if not path.is_file():
        raise UsageError(f"an archive of the scenario {name} must hold {name}.py, at its top")
    return path


if __name__ == "__main__":
    main_of(take)
