"""The heap of due times against the simplest model of it."""

from hypothesis import given
from hypothesis import strategies as st

from amoc.throttle.due_times import DueTimes
from amoc.throttle.profiles import NEVER_NS

NAMES = st.sampled_from("abcde")
TIMES = st.integers(0, 50)
STEPS = st.lists(
    st.tuples(st.just("put"), NAMES, TIMES)
    | st.tuples(st.just("drop"), NAMES)
    | st.tuples(st.just("pop"), TIMES),
    max_size=300,
)


@given(STEPS)
def test_each_name_comes_up_once_at_its_newest_time_the_earliest_first(steps):
    due, model = DueTimes(), {}
    for kind, *given_ in steps:
        if kind == "put":
            name, at = given_
            earliest = all(at < other for other in model.values())
            is_new = model.get(name) != at
            model[name] = at
            # A time that was replaced may hide that this is the earliest: the wake-up is early.
            assert not due.put(name, at) or (earliest and is_new)
        elif kind == "drop":
            due.put(given_[0], NEVER_NS)
            model.pop(given_[0], None)
        else:
            ready = sorted((at, name) for name, at in model.items() if at <= given_[0])
            assert list(due.pop(given_[0])) == [name for _, name in ready]
            for _, name in ready:
                del model[name]
        if model:
            assert due.next_ns <= min(model.values())


def test_a_name_added_while_others_are_popped_waits_for_its_time():
    due = DueTimes()
    for number in range(200):
        due.put(str(number), 1)
    taken = []
    for name in due.pop(1):
        taken.append(name)
        due.put(name, 2)
    assert sorted(taken, key=int) == [str(number) for number in range(200)]
    assert sorted(due.pop(2), key=int) == sorted(taken, key=int)
