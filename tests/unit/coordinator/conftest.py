from collections.abc import Iterator

import pytest

from amoc.base import pause
from amoc.coordinator import api, init_plans


@pytest.fixture(autouse=True)
def _nothing_is_left_of_the_test_before() -> Iterator[None]:
    init_plans.forget()
    yield
    init_plans.forget()
    api.attach(None)
    pause.resume()
