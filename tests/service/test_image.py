"""The command of deploy/Dockerfile as the image runs it: another user, and a root to read only.

No container engine is needed: the root is this host's, with what the Dockerfile adds to it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.process import wheels
from tests.process.support import ROOT, eventually
from tests.service import namespaces
from tests.service.namespaces import Inside
from tests.service.support import STAYERS

pytestmark = [pytest.mark.slow, pytest.mark.once]

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
TOKEN = "admin-token-0123456789"
SCRIPT = r"""
runs=$1 scenarios=$2 token=$3 user=$4
shift 4
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mkdir -p runs scenarios
mount -o remount,ro /mnt/root
mount --rbind /dev dev
mount -t tmpfs tmpfs dev/shm
mount -t proc proc proc
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs tmpfs run
mkdir run/secrets
install -o "$user" -m 600 "$token" run/secrets/amoc_token
install_amoc /mnt/root
mount --bind "$scenarios" scenarios
mount -o remount,ro,bind /mnt/root/scenarios
chown "$user" "$runs"
mount --bind "$runs" runs
ip link set lo up
exec chroot /mnt/root setpriv --reuid="$user" --regid="$user" --clear-groups --bounding-set=-all \
    --no-new-privs env -i -C /runs HOME=/home/amoc PATH="/opt/amoc/bin:$PATH" "$@"
"""


def instruction(name: str) -> list[str]:
    """The words of the last instruction of a name that is a command."""
    found = re.findall(rf"^(?:HEALTHCHECK .*\\\n +)?{name} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(found[-1])
    return words


def variables() -> list[str]:
    """What is in the image's environment beside PATH."""
    [found] = re.findall(r"^ENV (PATH=\S+(?: \\\n +\S+)*)$", DOCKERFILE, re.MULTILINE)
    return [one for one in found.split()[1:] if one != "\\"]


def ask(inside: Inside, path: str, *options: str) -> Any:
    """What the server answers."""
    token = ("-H", f"Authorization: Bearer {TOKEN}")
    url = f"http://127.0.0.1:4000{path}"
    return json.loads(inside.run("curl", "-sS", "--fail-with-body", url, *token, *options))


def test_the_images_command_works_with_a_root_to_read_only(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can take another user's place")
    if why := namespaces.missing():
        pytest.skip(why)
    runs, scenarios = tmp_path / "runs", tmp_path / "scenarios"
    for one in (runs, scenarios, scenarios / "needs"):
        one.mkdir()
    leaf = wheels.wheel(scenarios / "needs", "amoctestleaf", "1.0")
    (scenarios / "needs/requirements.txt").write_text(f"./{leaf.name}\n")
    (scenarios / "needs/needs.py").write_text(f"import amoctestleaf\n{STAYERS}")
    (scenarios / "stayers.py").write_text(STAYERS)
    token, script = tmp_path / "token", tmp_path / "container.sh"
    token.write_text(f"admin {TOKEN}")
    script.write_text(SCRIPT)
    user = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[-1]
    has_tini = shutil.which("tini") is not None
    entry = instruction("ENTRYPOINT")
    command = [
        *variables(),
        *(entry if has_tini else entry[entry.index("amoc") :]),
        *instruction("CMD"),
    ]
    program = Path("tini") if has_tini else Path("/proc/self/exe").readlink()
    with namespaces.unshared(script, program, runs, scenarios, token, user, *command) as inside:
        output = script.with_suffix(".txt")
        eventually(lambda: "amoc serves" in output.read_text(), "it listens")
        healthy = re.findall(r'^ +CMD (\["python3".*\])$', DOCKERFILE, re.MULTILINE)
        inside.run(*json.loads(healthy[-1]))
        assert ask(inside, "/status")["role"] == "admin"
        body = json.dumps(
            {"scenario": "stayers", "users": 2, "workers": 1, "settings": {"user_rate": "inf"}}
        )
        json_type = ("-H", "Content-Type: application/json")
        run = ask(inside, "/execution/start", "-X", "PATCH", *json_type, "-d", body)["run"]
        eventually(
            lambda: any(one["users"]["running"] == 2 for one in ask(inside, "/status")["runs"]),
            "two users run",
        )
        assert ask(inside, "/scenarios/info/needs/needs")["name"] == "needs/needs"
        assert list(runs.glob(".cache/amoc/environments/*/lib/amoctestleaf.py"))
        uploaded = "/scenarios/upload?name=again"
        assert not ask(inside, uploaded, "-T", str(scenarios / "stayers.py"))["replaced"]
        os.kill(inside.pid, signal.SIGTERM)
        ended = runs / f"amoc-runs/{run}/summary.json"
        eventually(lambda: not Path(f"/proc/{inside.pid}").exists(), "it has ended")
    assert json.loads(ended.read_text())["run"]["verdict"] == "stopped"
    assert ended.stat().st_uid == int(user)
    assert "Traceback" not in output.read_text()
