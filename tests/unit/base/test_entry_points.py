"""Entry points: the same as those of `importlib.metadata`, wherever packages are."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from amoc.base import entry_points


def install(site: Path, entry: str) -> None:
    info = site / "own-1.2.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entry)


def test_entry_points_match_those_of_importlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "[other]\na = b:c\n\n[own.group]\n# no = comment\n one=m:f \ntwo = m\n")
    every = metadata.entry_points()
    assert {"own.group", "console_scripts"} <= every.groups
    for group in every.groups:
        wanted = every.select(group=group)
        assert set(entry_points.targets(group)) == {one.value for one in wanted}
        assert list(entry_points.of_group(group)) == list(wanted)


def test_packages_installed_later_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    assert not list(entry_points.targets("own.group"))
    install(site, "[own.group]\none = m:f\n")
    assert list(entry_points.targets("own.group")) == ["m:f"]


def test_packages_in_an_archive_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "site.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("own-1.2.dist-info/METADATA", "Name: own\nVersion: 1.2\n")
        packed.writestr("own-1.2.dist-info/entry_points.txt", "[own.group]\none = m:f\n")
    monkeypatch.syspath_prepend(str(archive))
    assert list(entry_points.targets("own.group")) == ["m:f"]
    assert [one.name for one in entry_points.of_group("own.group")] == ["one"]


def test_packages_of_another_finder_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(metadata.DistributionFinder):
        """Finds a package that is not in any directory."""

        @staticmethod
        def find_spec(*_: object) -> None:
            return None

        def find_distributions(self, _context: object = None) -> list[metadata.Distribution]:
            return [Own()]

    class Own(metadata.Distribution):
        """A package that is not in any directory."""

        def read_text(self, filename: str) -> str | None:
            files = {
                "METADATA": "Name: own\nVersion: 1.2\n",
                "entry_points.txt": "[own.group]\none = m:f\n",
            }
            return files.get(filename)

        def locate_file(self, path: object) -> Path:
            raise AssertionError(path)

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Elsewhere()])
    assert list(entry_points.targets("own.group")) == ["m:f"]


def test_gevent_plugins_are_notified_of_patching(tmp_path: Path) -> None:
    install(tmp_path, "[gevent.plugins.monkey.did_patch_all]\none = heard:tell\n")
    (tmp_path / "heard.py").write_text("def tell(event):\n    print(type(event).__name__)\n")
    code = f"""
import sys
sys.path.append({str(tmp_path)!r})
from amoc.runtime.supervisor import monkey_patch
monkey_patch.patch()
print("email" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["GeventDidPatchAllEvent", "False"]
