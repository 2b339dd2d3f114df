"""Throttles that limit concurrency."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from amoc.base.clock import MS_NS
from amoc.throttle.permit_allocator import Permits
from amoc.throttle.profiles import NEVER_NS, Constant
from amoc.throttle.slot_schedule import Change, Mode

_ASKERS = ("a", "b", "c")
_STEP = st.one_of(
    st.tuples(st.just("want"), st.tuples(st.sampled_from(_ASKERS), st.integers(1, 5))),
    st.tuples(st.just("back"), st.tuples(st.sampled_from(_ASKERS), st.integers(1, 5))),
    st.tuples(st.just("repeat"), st.sampled_from(_ASKERS)),
    st.tuples(st.just("lose"), st.sampled_from(_ASKERS)),
    st.tuples(st.just("total"), st.integers(0, 6)),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("pass"), st.integers(1, 50)),
)


@dataclass
class World:
    """An allocator of permits and its askers."""

    now_ns: int = 0
    epoch: int = 1
    total: int = 3
    mode: Mode = Mode.RUN
    want: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ASKERS, 0))
    holds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ASKERS, 0))
    back: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ASKERS, 0))
    seen: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ASKERS, 0))

    def __post_init__(self) -> None:
        self.permits = Permits[str](self._change(0))
        self.most = self.total

    def _change(self, from_ns: int) -> Change:
        return Change(self.epoch, from_ns, self.mode, Constant(float(self.total)), 0, 0)

    def publish(self) -> None:
        self.epoch += 1
        self.permits.change(self._change(self.now_ns), self.now_ns)

    def report(self, asker: str) -> None:
        self.permits.want(asker, self.want[asker], self.seen[asker], self.back[asker])

    def deal(self) -> None:
        before = sum(self.holds.values())
        for asker, grant in self.permits.deal(self.now_ns):
            assert grant.number == self.seen[asker] + 1
            assert grant.size <= self.want[asker]
            self.seen[asker] = grant.number
            self.want[asker] -= grant.size
            self.holds[asker] += grant.size
        after = sum(self.holds.values())
        limit = self.total if self.mode is Mode.RUN else 0
        assert after <= max(limit, before), "more than may pass at the same time"
        if self.mode is Mode.RUN and any(self.want.values()):
            assert after >= min(limit, before + 1) or after >= limit, (
                "a permit that is free is dealt"
            )
        for asker in _ASKERS:
            self.report(asker)

    def give_back(self, asker: str, count: int) -> None:
        count = min(count, self.holds[asker])
        self.holds[asker] -= count
        self.back[asker] += count
        self.report(asker)

    def lose(self, asker: str) -> None:
        self.permits.lost(asker)
        for book in (self.want, self.holds, self.back, self.seen):
            book[asker] = 0


def play(steps: list[tuple[str, object]]) -> World:
    world = World()
    for what, value in steps:
        match what, value:
            case "want", (asker, count):
                world.want[asker] += count
                world.report(asker)
            case "back", (asker, count):
                world.give_back(asker, count)
            case "repeat", asker:
                world.report(asker)
            case "lose", asker:
                world.lose(asker)
            case "total", total:
                world.total = total
                world.publish()
            case "hold", held:
                world.mode = Mode.HELD if held else Mode.RUN
                world.publish()
            case "pass", ms:
                world.now_ns += ms * MS_NS
        world.deal()
        assert world.permits.held == sum(world.holds.values())
    return world


@settings(max_examples=300, deadline=None)
@given(st.lists(_STEP, max_size=40))
def test_concurrency_never_exceeds_the_limit(steps):
    play(steps)


@settings(max_examples=100, deadline=None)
@given(st.lists(_STEP, max_size=30))
def test_no_asker_starves(steps):
    world = play(steps)
    world.mode, world.total = Mode.RUN, 1
    world.publish()
    for asker in _ASKERS:
        world.want[asker] += 2
        world.report(asker)
    for _ in range(1000):
        world.deal()
        for asker in _ASKERS:
            world.give_back(asker, world.holds[asker])
        if not any(world.want.values()):
            break
    assert not any(world.want.values())
    assert world.permits.next_ns(world.now_ns) == NEVER_NS


def test_permits_of_a_lost_asker_go_to_the_others():
    world = World()
    world.want["a"] = 3
    world.report("a")
    world.deal()
    world.want["b"] = 1
    world.report("b")
    world.deal()
    assert world.holds == {"a": 3, "b": 0, "c": 0}
    world.lose("a")
    world.deal()
    assert world.holds["b"] == 1
