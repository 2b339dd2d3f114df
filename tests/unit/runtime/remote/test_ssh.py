"""Names of hosts for ssh."""

from __future__ import annotations

import pytest

from amoc.runtime.remote.ssh import SshStarter

HOSTS = ["h1", "admin@h3:2222", "root@[fd00::1]:22", "twice:1", "twice:2"]


@pytest.mark.parametrize(
    ("joined_as", "given"),
    [
        *(("h1", "h1"), ("h3", "admin@h3:2222"), ("fd00::1", "root@[fd00::1]:22")),
        *(("twice", ""), ("h2", "")),
    ],
)
def test_a_host_that_has_joined_is_known_as_it_was_given(joined_as: str, given: str) -> None:
    assert SshStarter(HOSTS, "amoc", "").engine_id(joined_as) == given
