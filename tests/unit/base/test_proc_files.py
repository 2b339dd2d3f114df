from __future__ import annotations

import os
from pathlib import Path

from amoc.base.proc_files import ProcFile, ProcFiles


def test_each_read_returns_the_present_contents(tmp_path: Path) -> None:
    path, files = tmp_path / "stat", ProcFiles()
    assert files.read(str(path)) == b""  # it does not exist
    for content in (b"cpu 1\n", b"cpu 2, and more\n", b"", os.urandom(200_000), b"x"):
        path.write_bytes(content)
        assert files.read(str(path)) == content


def test_a_long_file_of_the_kernel_is_read_completely() -> None:
    file = ProcFile("/proc/self/smaps")
    for _ in range(2):
        found = file.read()
        assert len(found) > 2 * 4096
        assert found.endswith(b"\n")
        assert found.count(b"\nVmFlags:") == found.count(b"\nSize:") > 10


def test_a_file_uses_one_descriptor_until_it_is_deleted() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    file = ProcFile("/proc/self/schedstat")
    for _ in range(3):
        assert file.read()
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 1
    del file
    assert len(list(Path("/proc/self/fd").iterdir())) == before
