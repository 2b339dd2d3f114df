"""How many slots users will want by the time that an answer can be here. Pure.

Users that come back as soon as they have passed would otherwise always ask too late. Nothing is
foreseen where slots found no user: a slot that is not taken is lost to all other workers, too.
"""

from __future__ import annotations

from amoc.base.clock import MS_NS

FORESEE_NS = 30 * MS_NS
"""About as long as a demand takes to be met; what will be wanted by then is asked for ahead."""
MIN_FORESEEN = 2
_WEIGH_NS = 10 * MS_NS


class Foresight:
    """Foresees by how many have passed lately.

    Attributes:
        foreseen: Slots that will be wanted.
        passed: Users that have passed by slots, ever.
        ran_dry: Whether a slot has found no user since it was weighed.
    """

    __slots__ = ("_weighed_ns", "_weighed_passed", "foreseen", "passed", "ran_dry")

    def __init__(self) -> None:
        self.foreseen = self.passed = 0
        self.ran_dry = True
        self._weighed_passed = self._weighed_ns = 0

    def weigh(self, at_ns: int, waiting: int) -> None:
        """Foresee anew, if it is time, while so many users wait."""
        elapsed_ns = at_ns - self._weighed_ns
        if self.ran_dry or not waiting:
            self.foreseen = 0
        elif elapsed_ns >= _WEIGH_NS:
            foreseen = (self.passed - self._weighed_passed) * FORESEE_NS // elapsed_ns
            self.foreseen = foreseen if foreseen >= MIN_FORESEEN else 0
        else:
            return
        self._weighed_ns, self._weighed_passed = at_ns, self.passed
        self.ran_dry = not waiting
