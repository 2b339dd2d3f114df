"""``amoc new``: writes a scenario from a recording, for an API, or of a given kind."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

import click

from amoc.base.errors import ResourceError, UsageError, os_error_as
from amoc.cli import server_option
from amoc.cli.option_groups import flag
from amoc.recording import from_kind
from amoc.recording.files import Written


@server_option.refused("amoc new writes files of this host; amoc run --server uploads a scenario")
@click.command(short_help="Write a scenario, for example from a recording.")
@click.argument("name", required=False)
@click.option(
    "--har",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a scenario that replays a browser's recording (HTTP Archive).",
)
@click.option(
    "--openapi",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a scenario that calls the operations of an API (OpenAPI 3.0 or 3.1, JSON or YAML).",
)
@click.option(
    "--kind",
    type=click.Choice(from_kind.KINDS),
    help="Write a small scenario of this kind, and a pytest test for it.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="With --har: also keep requests to this host (repeatable).",
)
@flag("--all", "everything", help="With --har: also keep static files and requests to other hosts.")
@flag("--force", help="Overwrite existing files.")
def new(
    name: str | None,
    har: Path | None,
    openapi: Path | None,
    kind: str | None,
    hosts: tuple[str, ...],
    everything: bool,
    force: bool,
) -> None:
    """Write the scenario NAME.py and the files that it needs.

    NAME may include a directory. Without NAME, a scenario from a recording or for an API gets the
    name of that file, and is written to the current directory. Existing files are not overwritten.
    """
    if sum(one is not None for one in (har, openapi, kind)) != 1:
        raise UsageError("amoc new needs one of --har FILE, --openapi FILE and --kind KIND")
    if name is None and kind is not None:
        raise UsageError("amoc new --kind needs a NAME for the scenario")
    target = _named_after(har or openapi or Path()) if name is None else _target(name)
    if har is None and (hosts or everything):
        raise UsageError("--host and --all require --har")
    if har is not None:
        written = _from_har(target.name, har, hosts, everything)
    elif openapi is not None:
        written = _from_openapi(target.name, openapi)
    else:
        written = from_kind.convert(str(kind), target.name)
    _write(target.parent, written, force)


def _target(name: str) -> Path:
    """Return the path of a scenario, without its suffix.

    Raises:
        UsageError: Its file could not be imported, or would hide another module.
    """
    target = Path(name.removesuffix(".py"))
    if rule := _broken_rule(target.name):
        raise UsageError(f"NAME {rule}, got {target.name!r}")
    return target


def _named_after(path: Path) -> Path:
    """Return the path of a scenario that is named after a file."""
    name = re.sub(r"\W+", "_", path.stem).strip("_")
    return Path(f"scenario_{name}".rstrip("_") if _broken_rule(name) else name)


def _broken_rule(name: str) -> str:
    """Return which rule for names of scenarios `name` breaks; empty if none."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return "must be letters, digits and '_', as a module's is"
    from importlib.metadata import packages_distributions

    if name == "amoc" or name in sys.stdlib_module_names or name in packages_distributions():
        return "must not be that of an installed module"
    return ""


def _from_har(name: str, har: Path, hosts: tuple[str, ...], everything: bool) -> Written:
    from amoc.recording import from_har

    content = _read(har, from_har.MAX_BYTES)
    return from_har.convert(content, str(har), name, hosts, everything, _settings())


def _from_openapi(name: str, openapi: Path) -> Written:
    from amoc.recording import from_openapi

    content = _read(openapi, from_openapi.MAX_BYTES)
    return from_openapi.convert(content, str(openapi), name, _settings())


def _settings() -> set[str]:
    """Return the names of the settings that every HTTP scenario has."""
    import amoc.http  # noqa: F401
    from amoc.scenario import builtin_settings  # noqa: F401
    from amoc.scenario.settings import declared

    return {one.name for one in declared()}


def _read(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        UsageError: It cannot be read, is not a file, or is larger.
    """
    with os_error_as(UsageError, f"{path} cannot be read"):
        if not path.is_file():
            raise UsageError(
                f"{path} must be a file{'' if path.exists() else ', but does not exist'}"
            )
        if (size := path.stat().st_size) > limit:
            raise UsageError(f"{path} must have at most {limit >> 20} MiB, got {size >> 20}")
        return path.read_bytes()


def _write(directory: Path, written: Written, force: bool) -> None:
    """Write all files, or none if one of them exists."""
    paths = {directory / name: content for name, content in written.files.items()}
    for path in paths:
        if path.exists() and not force:
            raise UsageError(f"{path} exists; --force overwrites it")
    for path, content in paths.items():
        with os_error_as(ResourceError, f"{path} cannot be written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in paths:
        click.echo(f"written: {path}")
    for note in written.notes:
        click.echo(note)
