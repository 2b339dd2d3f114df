"""Networks of small hosts, a new one for each test that needs one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.hosts import Network, available


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[..., Network]]:
    """Return a function that creates a network of `count` hosts, closed after the test."""
    available()
    with ExitStack() as stack:

        def made(count: int, ahead_s: int = 0) -> Network:
            return stack.enter_context(Network(count, tmp_path / "network", ahead_s))

        yield made
