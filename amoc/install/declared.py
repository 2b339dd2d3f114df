"""The declared dependencies of a scenario: inline metadata (PEP 723), or ``requirements.txt``.

The file next to the scenario counts only if the scenario itself declares nothing.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from amoc.base.errors import ScenarioError
from amoc.install.requirements import allows, name_of, named
from amoc.scenario.scenario_files import is_path, parts_of

FILE = "requirements.txt"
MAX_BYTES = 1 << 20
MAX_DEPTH = 10
# The regular expression of PEP 723.
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)[\s=]\s*(.+)")
_LINKS = re.compile(r"(-f|--find-links)[\s=]\s*(.+)")
_COMMENT = re.compile(r"(^|\s+)#.*$")


class Declared(NamedTuple):
    """The dependencies of a scenario.

    Attributes:
        files: The files that declare them; several scenarios in one run may have several.
        requirements: A line each, without comments.
        options: Lines for the installer, such as an index.
        constraints: Requirements that limit versions without requiring anything.
    """

    files: tuple[Path, ...]
    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of all lines, regardless of their order."""
        lines = [*self.requirements, *self.options, *(f"-c {one}" for one in self.constraints)]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The files, for messages."""
        return " and ".join(map(str, self.files))

    @property
    def lock(self) -> Path | None:
        """The lock file: ``shop.lock``, or ``requirements.lock``; None for several files."""
        return self.files[0].with_suffix(".lock") if len(self.files) == 1 else None

    @property
    def uv_lock(self) -> Path | None:
        """The lock file of ``uv lock --script``: ``shop.py.lock``; None without a script."""
        file = self.files[0]
        return file.with_name(f"{file.name}.lock") if self.lock and file.name != FILE else None


def declared(scenario: str) -> Declared | None:
    """Return the dependencies of a scenario, or of several in one run; None if there are none.

    Raises:
        ScenarioError: The declaration is wrong.
    """
    sources = [one.source for one in parts_of(scenario)] or [scenario]
    found = [one for source in sources if (one := _declared_by(source)) is not None]
    if not found:
        return None
    # For each field, the union of all values in order.
    return Declared(*(tuple(dict.fromkeys(chain(*some))) for some in zip(*found, strict=True)))


def _declared_by(scenario: str) -> Declared | None:
    """Return the dependencies of the scenario in a file; None without any, or without a file."""
    file = Path(scenario)
    if not (is_path(scenario) and file.is_file()):
        return None  # reported when it is loaded
    inline = _inline(file)
    if inline is not None:
        return Declared((file,), inline) if inline else None
    beside = file.parent / FILE
    if not beside.is_file():
        return None
    found: dict[str, list[str]] = {"requirements": [], "options": [], "constraints": []}
    _read(beside, found, "requirements", 0)
    if not found["requirements"]:
        return None
    return Declared((beside,), **{kind: tuple(dict.fromkeys(some)) for kind, some in found.items()})


def _inline(file: Path) -> tuple[str, ...] | None:
    """Return the dependencies in a scenario's inline metadata; None if it has none."""
    text = _text(file)
    if "# /// script" not in text:
        return None
    blocks = [one for one in _BLOCK.finditer(text) if one["type"] == "script"]
    if not blocks:
        raise ScenarioError(f"{file}: the block '# /// script' lacks its last line, '# ///'")
    if len(blocks) > 1:
        raise ScenarioError(
            f"{file}: there must be only one block '# /// script', got {len(blocks)}"
        )
    import tomllib  # imported here because few scenarios have such a block

    content = "".join(
        line[2:] if line.startswith("# ") else line[1:]
        for line in blocks[0]["content"].splitlines(keepends=True)
    )
    try:
        data = tomllib.loads(content)
    except ValueError as error:
        raise ScenarioError(
            f"{file}: the block '# /// script' is not valid TOML: {error}"
        ) from None
    _check_python(file, data.get("requires-python", ""))
    if data.get("tool", {}).get("uv"):
        raise ScenarioError(
            f"{file}: amoc does not read [tool.uv] of inline metadata; set an index and the like in"
            " uv's configuration or environment"
        )
    wanted = data.get("dependencies", [])
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise ScenarioError(f"{file}: dependencies must be a list of strings, got {wanted!r}")
    for one in wanted:
        if name_of(one) is None:
            raise ScenarioError(f"{file}: a dependency must be a name, got {one!r}")
    return tuple(dict.fromkeys(one.strip() for one in wanted))


def _check_python(file: Path, specifier: object) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    found = allows(specifier, version) if isinstance(specifier, str) else None
    if found is None:
        raise ScenarioError(
            f"{file}: requires-python must be a specifier such as '>=3.11', got {specifier!r}"
        )
    if not found:
        raise ScenarioError(f"{file} requires Python {specifier}, but this is {version}")


def _read(file: Path, found: dict[str, list[str]], kind: str, depth: int) -> None:
    """Add the lines of a requirements file, and of the files that it includes, to `found`."""
    if depth > MAX_DEPTH:
        raise ScenarioError(f"{file}: files must include each other at most {MAX_DEPTH} deep")
    for line in _lines(_text(file)):
        if include := _INCLUDE.fullmatch(line):
            inner = "constraints" if include[1] in ("-c", "--constraint") else kind
            _read(file.parent / include[2].strip(), found, inner, depth + 1)
        elif links := _LINKS.fullmatch(line):
            found["options"].append(f"--find-links {_absolute(links[2].strip(), file)}")
        elif line.startswith(("-e ", "--editable")):
            raise ScenarioError(
                f"{file}: a scenario cannot depend on an editable install, got {line!r}"
            )
        elif line.startswith("-"):
            found["options"].append(line)
        elif name_of(line) is None:
            found[kind].append(named(_local(line, file)))
        else:
            found[kind].append(line)


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        if stripped := _COMMENT.sub("", line).strip():
            yield re.sub(r"\s+", " ", stripped)


def _absolute(place: str, file: Path) -> str:
    """Return a directory relative to `file` as absolute; anything else, such as a URL, as it is."""
    beside = file.parent / place
    return str(beside.resolve()) if "://" not in place and beside.exists() else place


def _local(line: str, file: Path) -> str:
    """Return the URL of a requirement without a name, with the digest if it is a file."""
    if "://" in line:
        return line
    path = file.parent / line
    if path.is_dir():
        raise ScenarioError(
            f"{file}: a scenario cannot depend on a directory, which may change, got {line!r};"
            " modules next to the scenario can be imported as they are"
        )
    if not path.is_file():
        raise ScenarioError(f"{file}: {line!r} is neither a requirement nor a file")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{path.resolve().as_uri()} --hash=sha256:{digest}"


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            return "" if file.suffix == ".py" else _refuse(file, "is too long")
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return "" if file.suffix == ".py" else _refuse(file, "is not UTF-8")
    except OSError as error:
        return _refuse(file, f"cannot be read: {error.strerror}")


def _refuse(file: Path, why: str) -> str:
    raise ScenarioError(f"{file} {why}")


def pinned(requirements: Sequence[str]) -> bool:
    """Return whether each requirement is a single version with its hash."""
    return all(
        "--hash=" in one and ("==" in one or "://" in one.partition(" --")[0])
        for one in requirements
    )
