"""Runs on Ray, on small hosts: started inside and outside the cluster, with failures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import yaml

from amoc.scenario.cluster import RAY, Cluster, parse, with_nodes
from tests.cluster.hosts import ROOT, checked
from tests.cluster.patience import LONGEST_S, eventually
from tests.cluster.ray_cluster import TOKEN, RayCluster, over_ray, python
from tests.cluster.runs import Run, ran_twice
from tests.cluster.walk import USERS, Console, walk_through

ENDLESS = 100_000
"""Turns for users that finish on request."""


def refusals(cluster: RayCluster, directory: Path, *runs: tuple[str, list[str]]) -> list[str]:
    """Start failing runs, all at once, each with a token and options; return their output."""
    scenario = str(ROOT / "scenarios/hello.py")
    command = [cluster.python, "-m", "amoc", "run", scenario, "--run-dir"]
    begun = [
        subprocess.Popen(
            cluster.head.inside(
                [*command, str(directory / f"{number}"), "--cluster", cluster.inner, *options],
                cluster.env(cluster.head, token),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number, (token, options) in enumerate(runs)
    ]
    said = [run.communicate(timeout=LONGEST_S)[0] for run in begun]
    assert [run.returncode for run in begun] == [7] * len(begun), said
    return said


CHECK = """
import sys, yaml
from ray.autoscaler._private.util import prepare_config, validate_config
validate_config(prepare_config(yaml.safe_load(sys.stdin)))
"""


def test_the_deployment_files_are_valid():
    checked([python(), "-c", CHECK], (ROOT / "deploy/ray/cluster.yaml").read_text())
    pods, job = yaml.safe_load_all((ROOT / "deploy/kubernetes/ray-cluster.yaml").read_text())
    (group,) = pods["spec"]["workerGroupSpecs"]
    (controller,) = job["spec"]["template"]["spec"]["containers"]
    options = iter(controller["args"])
    given = dict(zip(options, options, strict=True))
    wanted = parse(with_nodes(given["--cluster"], int(given["--nodes"])))
    assert wanted == Cluster(RAY, group["replicas"], ("ray://amoc-head-svc:10001",))


def test_runs_on_a_ray_cluster(tmp_path):
    """A single test, since pytest-xdist workers sharing a file would each start a cluster."""
    parts = [*LONG, *SHORT] if os.environ.get("AMOC_RAY") else SHORT
    with RayCluster(tmp_path / "network") as cluster:
        for number, part in enumerate(parts):
            directory = tmp_path / f"{number}"
            directory.mkdir()
            part(cluster, directory)


def a_run_from_outside_is_operated_and_leaves_nothing(cluster: RayCluster, tmp_path: Path) -> None:
    outside = cluster.outside
    with over_ray(cluster, outside, tmp_path, ENDLESS, "--users", str(USERS)) as run:
        run.wait_for_users(1)
        shown = [line for host in cluster.network.hosts for line in host.processes()]
        walk_through(run, Console(run, cluster.python, cluster.env(outside)))
        run.wait_for_nothing_left()
    nodes = run.summary()["nodes"]
    assert {node["host"] for node in nodes} == {worker.address for worker in cluster.workers}
    assert all(re.fullmatch(r"Ray node [0-9a-f]{8} pid \d+", node["id"]) for node in nodes)
    assert len({node["id"].split()[2] for node in nodes}) == len(nodes)
    assert {log.stem for log in (tmp_path / "run/logs").iterdir()} == {
        "controller",
        *("node0", "supervisor", "worker-0"),
        *("node1", "supervisor-1", "worker-1"),
    }
    # ps shows no secret.
    assert sum(line.startswith("ray::AmocNode") for line in shown) == 2
    assert sum(line.startswith("amoc: node keeper") for line in shown) == 2
    assert not any(re.search(r"\b[0-9a-f]{64}\b", line) for line in shown)


def a_run_that_cannot_start_says_why(cluster: RayCluster, tmp_path: Path) -> None:
    too_many, no_amoc = refusals(
        cluster,
        tmp_path,
        (TOKEN, ["--nodes", "3", "--join-timeout", "10s"]),
        (TOKEN, ["--nodes", "2", "--remote-amoc", "/nowhere/amoc"]),
    )
    addresses = ", ".join(host.address for host in cluster.workers)
    assert f"Ray has 2 hosts with CPUs ({addresses}), but --nodes says 3" in too_many
    why = r"\(/nowhere/amoc: No such file or directory\); install amoc \d\S* there"
    assert re.search(rf"amoc cannot be started on \S+ {why}", no_amoc)


def a_killed_ray_driver_is_reported_and_leaves_nothing(cluster: RayCluster, tmp_path: Path) -> None:
    with over_ray(cluster, cluster.head, tmp_path, 1_000, "--users", "4") as run:
        run.wait_for_users(4)
        os.kill(cluster.head.pid_of("amoc: ray driver"), signal.SIGKILL)
        assert run.end() == 8, run.output
        run.wait_for_nothing_left()
    assert "ray: the Ray driver process was killed by SIGKILL" in run.output


def a_wrong_token_is_refused(cluster: RayCluster, tmp_path: Path) -> None:
    (said,) = refusals(cluster, tmp_path, (TOKEN[::-1], ["--nodes", "2"]))
    assert said.count("InvalidAuthToken") == 1
    assert f"Ray at {cluster.inner.removeprefix('ray:')}: " in said.splitlines()[-1]


def users_of_a_killed_actor_restart_on_the_other_host(cluster: RayCluster, tmp_path: Path) -> None:
    _, hurt = cluster.workers
    with over_ray(cluster, cluster.head, tmp_path, ENDLESS, "--users", "4") as run:
        run.wait_for_users(4)
        os.kill(hurt.pid_of("ray::AmocNode"), signal.SIGKILL)
        eventually(lambda: f"Ray has lost {hurt.address}" in run.output, run.what)
        start_on_the_other_and_finish(run)
        run.wait_for_nothing_left()
    nodes = run.summary()["nodes"]
    assert {node["host"] for node in nodes} == {worker.address for worker in cluster.workers}
    assert all(re.fullmatch(r"Ray node [0-9a-f]{8} pid \d+", node["id"]) for node in nodes)
    logs = {log.stem for log in (tmp_path / "run/logs").iterdir()}
    assert logs & {
        "worker-0",
        "worker-1",
    }  # the other one may have been killed before it wrote its log


def users_of_a_host_without_power_restart_even_if_ray_loses_its_head(
    cluster: RayCluster, tmp_path: Path
) -> None:
    other, off = cluster.workers
    with over_ray(cluster, cluster.head, tmp_path, ENDLESS, "--users", "4") as run:
        run.wait_for_users(4)
        cluster.power_off(off)
        eventually(lambda: f"Ray has lost {off.address}" in run.output, run.what)
        os.kill(cluster.head.pid_of(gcs_server(cluster)), signal.SIGKILL)
        eventually(lambda: f"Ray's head at {cluster.inner[4:]} is lost" in run.output, run.what)
        start_on_the_other_and_finish(run)
        eventually(lambda: not run.left_on(other), lambda: str(run.left_on(other)))


def start_on_the_other_and_finish(run: Run) -> None:
    """Wait until two of the four users have moved, then let all of them finish."""

    def moved() -> int:
        return sum(len(places) > 1 for places in run.turns().values())

    eventually(lambda: moved() == 2, run.what)
    run.have_users_finish()
    assert run.end() == 0, run.output
    assert moved() == 2
    assert not ran_twice(run.turns())
    assert run.summary()["users"]["finished"] == 4


def gcs_server(cluster: RayCluster) -> str:
    """Return the program of Ray's head."""
    (line,) = (line for line in cluster.head.processes() if "/gcs_server " in line)
    return line.partition(" ")[0]


LONG = (
    a_run_from_outside_is_operated_and_leaves_nothing,
    a_run_that_cannot_start_says_why,
    a_killed_ray_driver_is_reported_and_leaves_nothing,
)
SHORT = (
    a_wrong_token_is_refused,
    users_of_a_killed_actor_restart_on_the_other_host,
    users_of_a_host_without_power_restart_even_if_ray_loses_its_head,
)
"""What CI runs, in this order: the last one destroys the cluster."""
