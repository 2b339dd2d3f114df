"""What users need of the host: too little is refused with the figure that would do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import ExitCode, ResourceError
from amoc.scenario import fd_budget

counts = st.integers(1, 100_000)


@pytest.fixture(autouse=True)
def _declarations_of_its_own(monkeypatch):
    monkeypatch.setattr(fd_budget, "declared", {})


def test_descriptors_of_all_modules_add_up_and_one_module_counts_once():
    assert fd_budget.fds_per_user() == 0
    fd_budget.needs_fds("amoc.xmpp", 1)
    fd_budget.needs_fds("amoc.http", 2)
    fd_budget.needs_fds("amoc.xmpp", 1)
    assert fd_budget.fds_per_user() == 3
    fd_budget.needs_fds("amoc.http", lambda: 5)
    assert fd_budget.fds_per_user() == 6


def accepted(users: int, processes: int, per_user: int, limit: int) -> bool:
    try:
        fd_budget.check_fds(users, processes, per_user, limit)
    except ResourceError:
        return False
    return True


@given(counts, st.integers(1, 64), st.integers(1, 4), st.integers(0, 200_000))
def test_a_refusal_names_a_limit_and_a_number_of_users_that_are_accepted(
    users, processes, per_user, limit
):
    try:
        fd_budget.check_fds(users, processes, per_user, limit)
    except ResourceError as error:
        text = str(error)
        assert error.exit_code is ExitCode.RESOURCE  # noqa: PT017
        assert "\n" not in text
        enough = int(re.search(r"ulimit -Hn (\d+)", text)[1])
        assert accepted(users, processes, per_user, enough)
        assert not accepted(users, processes, per_user, enough - 1)
        fit = int(re.search(r"enough for (\d+) users", text)[1])
        assert fit < users
        assert fit == 0 or accepted(fit, processes, per_user, limit)
        assert not accepted(fit + 1, processes, per_user, limit)


@given(counts, st.integers(1, 64))
def test_users_without_descriptors_are_never_refused(users, processes):
    fd_budget.check_fds(users, processes, 0, 10)


def test_more_workers_are_suggested_only_if_possible():
    with pytest.raises(ResourceError, match="--workers"):
        fd_budget.check_fds(1000, 2, 1, 200)
    with pytest.raises(ResourceError) as caught:
        fd_budget.check_fds(1000, 1, 1, 200, what="server")
    assert "--workers" not in str(caught.value)
    assert "1 server need" in str(caught.value)
