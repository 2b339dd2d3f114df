"""Fixtures for tests of the daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.support import Daemon, serving


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for the tests of a module, which leave no run running."""
    with serving(tmp_path_factory.mktemp("daemon")) as found:
        yield found
