"""Unpacking uploads: no archive can write outside its directory."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.archives import extract, is_archive
from amoc.base.errors import UsageError
from tests.service.archives import ATTACKS, packed, reason

NAMES = st.lists(
    st.sampled_from(["..", ".", "", "a", "b.py", ".c", "d/e", "/f", "g\\h", "i j", "ü", "x" * 101]),
    min_size=1,
    max_size=10,
).map("/".join)


def unpacked(archive: Path, target: Path) -> list[Path]:
    with archive.open("rb") as file:
        return extract(file, target)


@pytest.mark.parametrize("why", [one for one in ATTACKS if one != "must hold shop.py"])
def test_an_attack_is_refused_by_name(tmp_path: Path, why: str) -> None:
    (tmp_path / "sent").write_bytes(ATTACKS[why]())
    with pytest.raises(UsageError, match=reason(why)):
        unpacked(tmp_path / "sent", tmp_path / "shop")
    assert {path.name for path in tmp_path.iterdir()} == {"sent", "shop"}


@given(name=NAMES)
def test_files_are_written_only_below_the_directory(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("archive")
    (directory / "sent").write_bytes(packed((name, b"x")))
    try:
        written = unpacked(directory / "sent", directory / "shop")
    except UsageError:
        written = []
    files = {path for path in directory.rglob("*") if path.is_file()} - {directory / "sent"}
    assert files == set(written)
    for path in written:
        assert path.resolve().is_relative_to(directory / "shop")


@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes_are_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("archive")
    for head in (b"PK\x03\x04", b"\x1f\x8b", bytes(257) + b"ustar"):
        assert is_archive(head + data)
        (directory / "sent").write_bytes(head + data)
        target = directory / f"shop-{head[:1].hex()}"
        with pytest.raises(UsageError):
            unpacked(directory / "sent", target)


def test_a_valid_archive_is_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.mkdir("lib")
        archive.writestr("shop.py", "a")
        archive.writestr("lib/basket.py", "b")
    (tmp_path / "sent").write_bytes(file.getvalue())
    written = unpacked(tmp_path / "sent", tmp_path / "shop")
    assert [path.relative_to(tmp_path / "shop").as_posix() for path in written] == [
        "shop.py",
        "lib/basket.py",
    ]
    assert written[1].read_text() == "b"
