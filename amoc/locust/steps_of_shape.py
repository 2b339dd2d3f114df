"""Pure. How users come and go, second by second, on the way to what a load shape wants."""

from __future__ import annotations


class Steps:
    """The way from one number of users to another.

    Attributes:
        count: How many users there are.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._owed = 0.0
        self._is_moving = False

    def towards(self, target: int, rate: float, seconds: float) -> int:
        """The change that is due now; negative where users go.

        The first ones come or go at once, one at least.

        Args:
            target: How many there shall be.
            rate: How many come or go a second.
            seconds: Until this is asked again.
        """
        missing = target - self.count
        if not missing:
            self._owed, self._is_moving = 0.0, False
            return 0
        self._owed += rate * seconds
        if not self._is_moving:
            self._owed, self._is_moving = max(1.0, self._owed), True
        step = min(int(self._owed), abs(missing))
        self._owed -= step
        change = step if missing > 0 else -step
        self.count += change
        return change
