"""The state of a run: what is in the table happens, everything else is an error that names both."""

from __future__ import annotations

import itertools

import pytest

from amoc.engine.state import NEXT, State, Step, after
from amoc.errors import ClosedError

ENDS = {State.FINISHED, State.FAILED}


def test_a_run_that_goes_well_passes_through_every_state_but_failed():
    state, seen = State.IDLE, [State.IDLE]
    for step in (Step.LAUNCH, Step.READY, Step.STOP, Step.ALL_LEFT):
        state = after(state, step)
        seen.append(state)
    assert seen == [one for one in State if one is not State.FAILED]


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_a_step_that_is_not_in_the_table_is_an_error_that_names_both(state, step):
    if (state, step) in NEXT:
        assert after(state, step) is NEXT[state, step]
    else:
        with pytest.raises(ClosedError) as caught:
            after(state, step)
        assert state.value in str(caught.value)
        assert step.value in str(caught.value)


@pytest.mark.parametrize("state", [one for one in State if one not in ENDS])
def test_every_state_that_is_not_an_end_can_fail(state):
    assert after(state, Step.FAIL) is State.FAILED


def test_an_end_is_an_end_and_every_state_can_be_reached():
    assert not [state for state, _ in NEXT if state in ENDS]
    assert {State.IDLE, *NEXT.values()} == set(State)
