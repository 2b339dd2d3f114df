"""The states of a run: transitions outside the table are errors naming state and step."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from amoc.base.errors import ClosedError
from amoc.runtime.controller.run_state import NEXT, State, Step, after

ENDS = {State.FINISHED, State.FAILED}


def test_a_successful_run_passes_through_every_state_but_failed():
    state, seen = State.IDLE, [State.IDLE]
    for step in (Step.LAUNCH, Step.READY, Step.PAUSE, Step.RESUME, Step.STOP, Step.ALL_LEFT):
        state = after(state, step)
        seen.append(state)
    assert set(seen) == set(State) - {State.FAILED}


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
def test_every_state_but_the_final_ones_can_fail(state):
    assert after(state, Step.FAIL) is State.FAILED


def test_final_states_are_final_and_every_state_is_reachable():
    assert not [state for state, _ in NEXT if state in ENDS]
    assert {State.IDLE, *NEXT.values()} == set(State)


class Runs(RuleBasedStateMachine):
    """Any steps in any order: only transitions in the table change the state."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.path = State.IDLE, [State.IDLE]

    @rule(step=st.sampled_from(Step))
    def step(self, step: Step) -> None:
        try:
            self.state = after(self.state, step)
        except ClosedError:
            assert (self.path[-1], step) not in NEXT
        else:
            self.path.append(self.state)

    @invariant()
    def an_end_is_final(self) -> None:
        assert not any(one in ENDS for one in self.path[:-1])

    @invariant()
    def users_stop_once_and_before_the_run_finishes(self) -> None:
        assert self.path.count(State.STOPPING) <= 1
        if State.FINISHED in self.path:
            assert self.path[-2] is State.STOPPING

    @invariant()
    def only_a_running_run_pauses_and_it_resumes_or_ends(self) -> None:
        for before, now in itertools.pairwise(self.path):
            assert now is not State.PAUSED or before is State.RUNNING
            assert before is not State.PAUSED or now in {
                State.RUNNING,
                State.STOPPING,
                State.FAILED,
            }


TestRuns = Runs.TestCase
