"""What ``--cluster`` and ``--nodes`` mean together."""

from __future__ import annotations

import pytest

from amoc.scenario.cluster import JOIN, LOCAL, SSH, Cluster, parse, with_nodes


@pytest.mark.parametrize(
    ("text", "cluster"),
    [
        ("local:3", Cluster(LOCAL, 3)),
        ("join", Cluster(JOIN, 0)),
        ("join:1000", Cluster(JOIN, 1000)),
        ("ssh://h1", Cluster(SSH, 1, ("h1",))),
        (
            "ssh://h1,user@h2.example.org:2222,[fd00::1]",
            Cluster(SSH, 3, ("h1", "user@h2.example.org:2222", "[fd00::1]")),
        ),
    ],
)
def test_a_cluster_is_read(text, cluster):
    assert parse(text) == cluster


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "local",
            "local:0",
            "local:65",
            "join:0",
            "join:1001",
            "ray:head",
            "ssh://",
            "ssh://h,",
        ),
        *("ssh://-oProxyCommand=x", "ssh://h1 h2", "ssh://h;reboot", "ssh://a@b@c", "ssh://a'b"),
    ],
)
def test_what_is_no_cluster_is_refused(text):
    with pytest.raises(ValueError, match="must be local:N with N from 1 to 64, join, or hosts"):
        parse(text)


def test_join_needs_a_number_of_nodes_and_others_have_theirs():
    assert with_nodes("join", 4) == "join:4"
    assert with_nodes("join:4", None) == with_nodes("join:4", 4) == "join:4"
    assert with_nodes("ssh://h1,h2", None) == "ssh://h1,h2"
    with pytest.raises(ValueError, match="--cluster join needs --nodes N"):
        with_nodes("join", None)
    with pytest.raises(ValueError, match="--cluster local:2 has 2 nodes, but --nodes says 3"):
        with_nodes("local:2", 3)
