"""Nodes by Ansible and by Kubernetes: hosts are what the files of deploy/ say, and run.

The playbook is played over ssh. There is no systemd on these hosts: what its unit would start is
started by hand.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from amoc.cli.node import node as node_command
from amoc.cli.run import run as run_command
from amoc.runtime.remote import address
from tests.cluster.hosts import ROOT, Host
from tests.cluster.patience import DEADLINE_S
from tests.servers.daemon import required

pytestmark = pytest.mark.once
ROLE = ROOT / "deploy/ansible"
PLAY_S = 120.0
PREPARED, DEPLOYED = 4, 2
"""Tasks that change something: directories, descriptors, ports, and these now; secret and unit."""
CHANGED = re.compile(r"^\S+\s*: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0", re.MULTILINE)


@pytest.fixture
def playbook() -> Path:
    python = os.environ.get("AMOC_ANSIBLE")
    if not python:
        required("AMOC_ANSIBLE names no interpreter that has ansible-core")
    assert python
    return Path(python).with_name("ansible-playbook")


def with_own_etc(host: Host) -> None:
    """Have what is written to /etc stay on the host."""
    etc = host.home / "etc"
    host.run("cp", "-a", "/etc", str(etc))
    host.run("mount", "--bind", str(etc), "/etc")


def played(playbook: Path, head: Host, inventory: Path, *options: str) -> int:
    """Play it from `head`; how many tasks have changed something."""
    env = {
        "ANSIBLE_HOME": str(head.home / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(head.home / "ansible/tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": "/run/ansible",  # a socket's path must be short
        "ANSIBLE_SSH_TRANSFER_METHOD": "piped",  # our sshd has no sftp
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "LC_ALL": "C.UTF-8",
    }
    command = [str(playbook), "-i", str(inventory), str(ROLE / "playbook.yml"), *options]
    done = subprocess.run(head.inside(command, env), capture_output=True, text=True, timeout=PLAY_S)
    assert done.returncode == 0, done.stdout + done.stderr
    (changed,) = CHANGED.findall(done.stdout)
    return int(changed)


def test_a_host_that_was_prepared_and_deployed_to_is_a_node_of_a_run(
    playbook: Path, hosts, tmp_path: Path
) -> None:
    head, node = hosts(2).hosts
    with_own_etc(node)
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("known to these hosts alone")
    inventory = tmp_path / "inventory.ini"
    inventory.write_text(
        f"[amoc_nodes]\n{node.name}\n[amoc_nodes:vars]\namoc_state={node.home}/state\n"
        f"ansible_python_interpreter={sys.executable}\n"
        f"amoc_controller=tcp://{head.address}:4100\namoc_secret_file={secret}\n"
        "ansible_become=false\n"  # root logs in, and there is no sudo
        f"amoc_user=root\namoc_install=false\namoc_command={sys.executable} -m amoc\n"
    )
    assert played(playbook, head, inventory, "--tags", "prepare") >= PREPARED
    ports = node.run("cat", "/proc/sys/net/ipv4/ip_local_port_range").split()
    assert ports == ["1024", "65535"]
    assert "hard nofile 200000" in node.run("cat", "/etc/security/limits.d/60-amoc.conf")
    # What is prepared already is left as it is.
    assert played(playbook, head, inventory) == DEPLOYED
    assert node.run("stat", "-c", "%a", "/etc/amoc/secret").strip() == "400"
    unit = node.run("cat", "/etc/systemd/system/amoc-node.service")
    (start,) = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    own = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(node.home)}
    keeper = subprocess.Popen(node.inside(start.split(), own))
    scenario = tmp_path / "scenario/trial.py"
    scenario.parent.mkdir()
    scenario.write_text("def start(user_id):\n    pass\n")
    amoc = [sys.executable, "-m", "amoc", "run", str(scenario), "--users", "4", "--workers", "1"]
    cluster = ["--cluster", "join", "--nodes", "1", "--secret-file", str(secret)]
    once = ["--set", "repeat_num=1", "--limited-ok", "--run-dir", str(tmp_path / "run")]
    run = head.inside([*amoc, *cluster, *once], {"PYTHONPATH": str(ROOT)})
    done = subprocess.run(run, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert keeper.wait(DEADLINE_S) == 0


def test_a_job_has_the_nodes_that_its_run_waits_for() -> None:
    text = (ROOT / "deploy/kubernetes/indexed-job.yaml").read_text()
    service, controller, nodes = yaml.safe_load_all(text)
    ports = [one["port"] for one in service["spec"]["ports"]]
    assert ports == [*range(address.DEFAULT_PORT, address.DEFAULT_PORT + address.PORTS)]
    (run, node) = (
        container["args"][0].replace("\\\n", "").splitlines()[-1].split()[2:]
        for job in (controller, nodes)
        for container in job["spec"]["template"]["spec"]["containers"]
    )
    with run_command.make_context("amoc run", run[1:], resilient_parsing=False) as given:
        assert given.params["nodes"] == nodes["spec"]["completions"] == nodes["spec"]["parallelism"]
    with node_command.make_context("amoc node", node[1:]) as given:
        assert given.params["controller"] == f"tcp://{service['metadata']['name']}:4100"
