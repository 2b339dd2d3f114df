from collections.abc import Iterator

import pytest

from amoc.base import pause
from amoc.base.context import WorkerContext
from amoc.coordinator import init_plans


@pytest.fixture(autouse=True)
def _nothing_is_left_of_the_test_before() -> Iterator[None]:
    init_plans.forget()
    with WorkerContext().activated():
        yield
    init_plans.forget()
    pause.resume()
