"""Templates are compiled once for all runs, and an unusable cache is not an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from amoc.results.report.compiled import CompiledTemplates

compiled: list[str | None] = []


class Counting(Environment):
    def compile(self, source, name=None, *rest, **named):
        compiled.append(name)
        return super().compile(source, name, *rest, **named)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled.clear()
    return tmp_path


def rendered(source: str = "{{ name }} is here") -> str:
    """The text rendered by a process that has not compiled anything yet."""
    environment = Counting(loader=DictLoader({"page": source}), bytecode_cache=CompiledTemplates())
    return environment.get_template("page").render(name="Ada")


def kept(cache: Path) -> list[Path]:
    return [one for one in cache.rglob("*") if one.is_file()]


def test_the_next_process_reuses_compiled_templates() -> None:
    assert rendered() == rendered() == "Ada is here"
    assert len(compiled) == 1


def test_a_changed_template_is_compiled_again() -> None:
    rendered()
    assert rendered("{{ name }} is gone") == "Ada is gone"
    assert len(compiled) == 2


def test_only_the_owner_can_write_to_the_cache(cache: Path) -> None:
    rendered()
    for one in kept(cache):
        assert one.stat().st_mode & 0o077 == 0
        assert one.parent.stat().st_mode & 0o022 == 0


@pytest.mark.parametrize("keep", [0, 1, 20, 40, -1])
def test_an_unreadable_cache_entry_is_compiled_again(cache: Path, keep: int) -> None:
    rendered()
    for one in kept(cache):
        one.write_bytes(one.read_bytes()[:keep])
    assert rendered() == "Ada is here"
    assert len(compiled) == 2


def test_without_a_writable_cache_each_process_compiles(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    assert rendered() == rendered() == "Ada is here"
    assert len(compiled) == 2
