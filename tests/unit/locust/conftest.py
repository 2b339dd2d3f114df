"""A scripted server, and an environment for users of locustfiles without a run."""

from __future__ import annotations

import pytest

from amoc.locust.environment import Environment
from amoc.locust.hooks import Events
from tests.unit.http.conftest import own_metrics, serve

__all__ = ["own_metrics", "serve"]


@pytest.fixture
def environment() -> Environment:
    return Environment(Events())
