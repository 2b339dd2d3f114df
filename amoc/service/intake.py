"""Check of an upload in a separate process: unpacks it, and loads the scenario.

Loading a scenario executes its module, so whoever may upload may run code here.
"""

from __future__ import annotations

from pathlib import Path

from amoc.base import archives
from amoc.base.errors import AmocError, UsageError
from amoc.service.isolated_main import main_of

MAX_SOURCE_BYTES = 1 << 20


def take(upload: str, name: str) -> dict[str, object]:
    """Return the description of the uploaded scenario (see `describe`) and its ``path``.

    Args:
        upload: The uploaded file, in a directory of its own.
        name: Name of the scenario; empty for an archive that is only unpacked.

    Raises:
        AmocError: It is not a valid scenario. Messages do not show its temporary directory.
    """
    sent = Path(upload).resolve()
    try:
        if not name:
            return {"path": str(_files(sent))}
        from amoc.service.describe import scenario  # imports everything that scenarios may need

        path, main = _unpacked(sent, name)
        return {**scenario(str(main)), "path": str(path)}
    except AmocError as error:
        shown = str(error).replace(f"{sent.parent}/", "")
        raise AmocError(shown).with_code(error.exit_code) from None
    except OSError as error:
        raise UsageError(f"the upload cannot be stored: {error.strerror}") from None


def _files(sent: Path) -> Path:
    """Unpack an upload, which must be an archive. Return the directory."""
    directory = sent.with_name("files")
    with sent.open("rb") as file:
        if not archives.is_archive(file.read(archives.HEAD_BYTES)):
            raise UsageError("the body must be a zip or tar archive, got something else")
        archives.extract(file, directory)
    return directory


def _unpacked(sent: Path, name: str) -> tuple[Path, Path]:
    """Return the path of the scenario (a file, or its directory) and the file to load."""
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
        raise UsageError(f"an archive of the scenario {name} must hold {name}.py at the top level")
    return path


if __name__ == "__main__":
    main_of(take)
