"""Networks of small hosts, one for each test that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.hosts import Network, available


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[..., Network]]:
    """Makes a network of so many hosts, that is there until the test has ended."""
    available()
    with ExitStack() as stack:

        def made(count: int, ahead_s: int = 0) -> Network:
            return stack.enter_context(Network(count, tmp_path / "network", ahead_s))

        yield made
