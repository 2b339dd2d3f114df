"""Load shapes: what their methods return."""

from __future__ import annotations

from typing import Any

import pytest

from amoc.base.errors import ScenarioError
from amoc.locust.environment import Environment, Runner
from amoc.locust.shape import LoadTestShape, ShapeDriver


def test_a_shape_has_no_users_before_the_run() -> None:
    assert LoadTestShape().get_current_user_count() == 0


@pytest.mark.parametrize(
    "wants",
    [
        5,
        (5,),
        ("5", 1),
        (None, 1),
        (float("nan"), 1),
        (5, 0),
        (5, float("inf")),
        (5, 1, None, 1),
        -1,
    ],
)
def test_a_tick_without_a_number_of_users_and_a_rate_is_an_error(
    environment: Environment, wants: object
) -> None:
    class Wrong(LoadTestShape):
        def tick(self) -> Any:
            return wants

    file: Any = None
    driver = ShapeDriver(Wrong(), Runner(environment), lambda: None, file)
    with pytest.raises(ScenarioError, match=r"tick\(\) of Wrong must return a number of users"):
        driver.follow()
