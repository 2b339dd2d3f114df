"""Pure. The changes of the number of users, second by second, towards a load shape's target."""

from __future__ import annotations


class Steps:
    """The way from one number of users to another.

    Attributes:
        count: The current number of users.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._owed = 0.0
        self._is_moving = False

    def towards(self, target: int, rate: float, seconds: float) -> int:
        """Return the change to make now; negative to remove users.

        The first step of a change is made at once, with at least one user.

        Args:
            target: The number of users to reach.
            rate: Users to start or remove per second.
            seconds: Time until the next call.
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
