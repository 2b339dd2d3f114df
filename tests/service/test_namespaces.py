"""What tests start in namespaces ends with the test, even if the test fails."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.support import eventually
from tests.service import namespaces

pytestmark = pytest.mark.once


def test_a_failed_test_leaves_no_files_of_another_user(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if why := namespaces.missing():
        pytest.skip(why)
    sleep = Path(shutil.which("sleep") or "/bin/sleep").resolve()
    script = tmp_path / "stay.sh"
    script.write_text(f"exec setpriv --reuid=10001 --regid=10001 --clear-groups {sleep} 600\n")
    with suppress(ZeroDivisionError), namespaces.unshared(script, sleep) as inside:
        first = Path(f"/proc/{inside.pid}")
        assert first.exists()
        raise ZeroDivisionError
    eventually(lambda: not first.exists(), "it is gone")
