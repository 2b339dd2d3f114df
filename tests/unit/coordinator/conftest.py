from collections.abc import Iterator

import pytest

from amoc import pausing
from amoc.coordinator import api, known


@pytest.fixture(autouse=True)
def _nothing_is_left_of_the_test_before() -> Iterator[None]:
    known.forget()
    yield
    known.forget()
    api.attach(None)
    pausing.release()
