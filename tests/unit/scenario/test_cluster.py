"""What ``--cluster`` and ``--nodes`` mean together."""

from __future__ import annotations

import pytest

from amoc.scenario.cluster import JOIN, LOCAL, RAY, SSH, Cluster, parse, with_nodes


@pytest.mark.parametrize(
    ("text", "cluster"),
    [
        ("local:3", Cluster(LOCAL, 3)),
        ("join", Cluster(JOIN, 0)),
        ("join:1000", Cluster(JOIN, 1000)),
        ("ray:head:6379", Cluster(RAY, 0, ("head:6379",))),
        ("ray:[fd00::1]:6379?nodes=3", Cluster(RAY, 3, ("[fd00::1]:6379",))),
        ("ray://10.0.0.1:10001?nodes=1000", Cluster(RAY, 1000, ("ray://10.0.0.1:10001",))),
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
            "ray://head",
            "ray:head:0",
            "ray:head:65536",
            "ray:head:6379?nodes=0",
            "ray:head:6379?nodes=1001",
            "ray:-head:6379",
            "ssh://",
            "ssh://h,",
        ),
        *("ssh://-oProxyCommand=x", "ssh://h1 h2", "ssh://h;reboot", "ssh://a@b@c", "ssh://a'b"),
    ],
)
def test_an_invalid_cluster_is_refused(text):
    with pytest.raises(
        ValueError, match="must be local:N with N from 1 to 64, join, hosts such as"
    ):
        parse(text)


def test_ray_needs_a_number_of_hosts():
    assert with_nodes("ray:h:6379", 4) == "ray:h:6379?nodes=4"
    assert parse(with_nodes("ray://h:10001", 4)).nodes == 4
    assert with_nodes("ray:h:1?nodes=4", None) == with_nodes("ray:h:1?nodes=4", 4)
    with pytest.raises(ValueError, match="ray:h:1 needs --nodes N, the number of hosts to take"):
        with_nodes("ray:h:1", None)
    assert with_nodes("ray:h:1?nodes=4", 2) == "ray:h:1?nodes=2"
    with pytest.raises(ValueError, match="has 4 nodes, but --nodes says 5"):
        with_nodes("ray:h:1?nodes=4", 5)


def test_join_needs_a_number_of_nodes_and_others_have_theirs():
    assert with_nodes("join", 4) == "join:4"
    assert with_nodes("join:4", None) == with_nodes("join:4", 4) == "join:4"
    assert with_nodes("ssh://h1,h2", None) == with_nodes("ssh://h1,h2", 2) == "ssh://h1,h2"
    assert with_nodes("ssh://h1,a@h2:22,h3", 2) == "ssh://h1,a@h2:22"
    assert (with_nodes("join:4", 3), with_nodes("local:4", 1)) == ("join:3", "local:1")
    with pytest.raises(ValueError, match="--cluster join needs --nodes N"):
        with_nodes("join", None)
    with pytest.raises(ValueError, match="--cluster local:2 has 2 nodes, but --nodes says 3"):
        with_nodes("local:2", 3)
