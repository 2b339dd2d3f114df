"""Fixtures for tests with real processes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[[str], Path]:
    """Write a scenario file; in its text, HERE stands for the test's directory."""

    def write(text: str, name: str = "trial.py") -> Path:
        file = tmp_path / name
        file.write_text(textwrap.dedent(text).replace("HERE", repr(str(tmp_path))))
        return file

    return write
