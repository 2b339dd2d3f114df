"""Scenarios with dependencies, installed by uv and pip from an index of wheels made here."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from uv import find_uv_bin

from amoc.base.errors import ExitCode, ResourceError, ScenarioError
from amoc.install import cached_environments
from amoc.install.choice import Choice
from amoc.install.environment import Dependency, Preparation
from tests.process import wheels
from tests.process.support import ROOT, eventually, lines

index = wheels.index
DEADLINE_S = 120
TREE = '''\
# /// script
# dependencies = ["amoctesttree", "amoctestleaf<2", "amoc"]
# ///
"""Depends on a tree."""
import amoctestleaf, amoctesttree, click
from amoc import metrics

def start(user_id):
    metrics.counter(f"leaf {amoctestleaf.VERSION} click {click.Group.__name__}").inc()
'''
LEAF = "amoctestleaf"
INSTALLED = (
    Dependency("amoctestleaf", "1.0", "installed"),
    Dependency("amoctesttree", "1.5", "installed"),
)


@pytest.fixture(params=["uv", "pip"])
def installer(request, index, tmp_path, monkeypatch):
    """Each installer in turn, with that index and a separate cache."""
    use(request.param, index, tmp_path, monkeypatch)
    return request.param


@pytest.fixture
def uv(index, tmp_path, monkeypatch):
    use("uv", index, tmp_path, monkeypatch)


def use(installer, index, tmp_path, monkeypatch):
    for name, value in wheels.environment(index, tmp_path / "cache", installer).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def program(uv, tmp_path, monkeypatch):
    """Write a shell script that takes the place of uv."""

    def write(text):
        file = tmp_path / "program"
        file.write_text(f"#!/bin/sh\n{textwrap.dedent(text)}")
        file.chmod(0o700)
        monkeypatch.setenv("AMOC_INSTALLER", str(file))

    return write


def requires(*requirements: str) -> Path:
    """Write a scenario that depends on `requirements`."""
    file = Path("shop.py")
    listed = ", ".join(f'"{one}"' for one in requirements)
    file.write_text(f"# /// script\n# dependencies = [{listed}]\n# ///\nstart = print\n")
    return file


def prepare(scenario: Path | str = "shop.py", **choice):
    """Prepare the environment of a scenario; return it with the messages to the operator."""
    told: list[str] = []
    return Preparation(str(scenario), Choice(**choice), told.append).environment(), told


def environments() -> list[str]:
    """List the environments in the cache, without its locks."""
    cache = Path("cache/amoc/environments")
    return [one.name for one in cache.iterdir() if one.suffix != ".lock"] if cache.is_dir() else []


def amoc(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amoc", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def test_a_scenarios_dependencies_are_installed_but_amocs_own_come_first(installer):
    Path("shop.py").write_text(TREE)

    first = amoc("run", "shop.py", "--set=repeat_num=1", "--limited-ok", "--json=first.json")
    assert first.returncode == 0, first.stderr
    assert f"installing the dependencies of shop.py with {installer}" in first.stderr
    # The index's own click, which ends the process, was neither installed nor imported.
    assert '"leaf 1.0 click Group": 1' in Path("first.json").read_text()

    for file in Path("index").iterdir():
        file.unlink()
    again = amoc("check", "shop.py", "--run")
    assert (again.returncode, again.stderr) == (0, "")
    lines = [line.split() for line in again.stdout.splitlines()[1:4]]
    assert lines == [
        ["amoctestleaf", "1.0", "installed"],
        ["amoctesttree", "1.5", "installed"],
        ["click", lines[2][1], "amoc", "has", "it"],
    ]


def test_conflicts_with_amocs_own_libraries_quote_the_installer(installer):
    requires("amoctestquarrel")

    with pytest.raises(ScenarioError) as raised:
        prepare()

    first, *words = str(raised.value).splitlines()
    assert first == f"what shop.py requires cannot be installed: {installer} says"
    assert any("click<8" in line and "amoctestquarrel" in line for line in words), words
    assert environments() == []


def test_a_direct_conflict_names_amocs_own_version(uv):
    requires("click<8")

    done = amoc("run", "shop.py")

    assert done.returncode == ScenarioError.exit_code
    assert done.stderr.startswith("amoc: installing the dependencies of shop.py with uv\n")
    assert "amoc itself has click " in done.stderr.splitlines()[-1]
    assert not Path("amoc-runs").exists()


def test_dependencies_that_amoc_has_need_no_installer(uv, monkeypatch):
    monkeypatch.setenv("AMOC_INSTALLER", "/nowhere")
    requires("click>=8", "amoc>=0.1", "amoc")

    found, told = prepare()

    assert (found.libraries, told) == ("", [])
    assert [(one.name, one.state) for one in found.dependencies] == [("click", "amoc")]
    requires("amoc>=99")
    with pytest.raises(ScenarioError, match=r"shop\.py requires amoc>=99, but this is amoc \d"):
        prepare()


def test_a_local_wheel_is_installed_by_its_relative_path(installer):
    own = Path("my wheels")
    own.mkdir()
    file = wheels.wheel(own, "amoctestown", "3.0")
    Path("requirements.txt").write_text(f"./{own}/{file.name}\n")
    Path("shop.py").write_text("import amoctestown\nstart = print\n")

    found, _ = prepare(locked=True)

    assert [one.name for one in found.dependencies] == ["amoctestown"]
    assert Path(found.libraries, "amoctestown.py").is_file()


def test_a_requirements_file_next_to_the_scenario_is_used(uv):
    Path("shop.py").write_text("start = print\n")
    Path("more.txt").write_text(f"{LEAF}<2\n")
    Path("requirements.txt").write_text("# what we need\namoctesttree\n-r more.txt\n")

    found, _ = prepare()

    assert found.dependencies[:2] == INSTALLED


def test_scenarios_of_one_run_share_one_environment_but_no_lock(uv):
    requires("amoctesttree", "locust==0.1").rename("buy.py")
    requires("amoctestleaf<2").rename("browse.py")
    both = "buy.py=1 browse.py=1"

    found, _ = prepare(both)

    assert found.dependencies[:2] == INSTALLED
    message = r"there is no lock file for several files, and not every requirement of buy\.py and"
    with pytest.raises(ScenarioError, match=message):
        prepare(both, locked=True)
    with pytest.raises(ScenarioError, match=r"no lock file for several files: buy\.py and browse"):
        Preparation(both, Choice(), print).make_lock()


def test_of_two_simultaneous_commands_one_makes_the_environment(uv):
    requires(LEAF)
    command = [sys.executable, "-m", "amoc", "check", "shop.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    both = [
        subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    errors = [one.communicate(timeout=DEADLINE_S)[1] for one in both]

    assert [one.returncode for one in both] == [0, 0], errors
    assert sum(error.count(b"installing") for error in errors) == 1
    assert len(environments()) == 1


def test_an_unfinished_environment_is_not_used(uv):
    requires(LEAF)
    found, _ = prepare()
    place = Path(found.libraries).parent
    half = place.with_name(f"{place.name}.made-1")
    place.rename(half)

    again, told = prepare()

    assert told == ["installing the dependencies of shop.py with uv"]
    assert again == found
    assert environments() == [place.name]


def test_nothing_is_installed_with_no_install(uv):
    requires(LEAF)

    found, told = prepare(install=False)
    assert (found.libraries, environments()) == ("", [])
    assert told == ["warning: the dependencies of shop.py are not installed (--no-install)"]

    shown = amoc("check", "shop.py", "--no-install")
    assert (shown.returncode, shown.stdout.splitlines()[1].split()) == (
        0,
        [LEAF, "2.0", "would", "be", "installed"],
    )
    assert environments() == []

    made, _ = prepare()
    assert prepare(install=False) == (made, [])


def test_a_lock_pins_versions_until_the_requirements_change(installer, index, monkeypatch):
    requires(LEAF)
    with pytest.raises(ScenarioError, match=r"are not locked: there is no shop\.lock"):
        prepare(locked=True)
    assert Preparation("shop.py", Choice(), print).make_lock() == Path("shop.lock")

    wheels.wheel(index, LEAF, "3.0")
    found, told = prepare(locked=True)
    assert found.dependencies == (Dependency(LEAF, "2.0", "installed"),)
    assert told == [f"installing the dependencies of shop.py with {installer}"]

    wheels.wheel(index, LEAF, "2.0", body="# another one\n")
    Path(found.libraries).parent.rename("aside")
    monkeypatch.setenv("UV_CACHE_DIR", "another")
    with pytest.raises(ScenarioError, match=r"(?is)cannot be installed.*hash"):
        prepare(locked=True)

    requires(f"{LEAF}>1")
    message = "shop.lock does not match what shop.py requires"
    with pytest.raises(ScenarioError, match=f"are not locked: {message}; lock them with"):
        prepare(locked=True)
    found, told = prepare()
    assert found.dependencies == (Dependency(LEAF, "3.0", "installed"),)
    assert told[0].startswith(f"warning: {message}, so it is not used; to renew it: amoc check")


def test_a_requirements_file_with_hashes_serves_as_its_own_lock(uv, index):
    Path("shop.py").write_text("start = print\n")
    Path("requirements.txt").write_text(f"{LEAF}==1.0\n")
    with pytest.raises(ScenarioError, match=r"there is no requirements\.lock"):
        prepare(locked=True)
    locked = amoc("check", "shop.py", "--lock")
    assert (locked.returncode, locked.stdout) == (0, "requirements.lock\n"), locked.stderr
    Path("requirements.lock").rename("requirements.txt")

    found, _ = prepare(locked=True)

    assert found.dependencies == (Dependency(LEAF, "1.0", "installed"),)


def test_an_installer_that_takes_too_long_is_killed_with_its_children(program):
    program("echo building >&2; sleep 300 & echo $! > child; wait")
    requires(LEAF)

    with pytest.raises(ResourceError) as raised:
        prepare(timeout_s=4.0)

    assert str(raised.value) == (
        "what shop.py requires could not be installed within 4 s (--install-timeout): uv's last"
        " output: building"
    )
    # It was killed, but it is not our child to wait for: the kernel may take a moment.
    child = Path(f"/proc/{Path('child').read_text().strip()}/exe")
    eventually(lambda: not child.exists(), "the installer's child has ended")
    assert environments() == []


def test_an_interrupt_ends_the_installer_and_leaves_nothing(program):
    program("echo $$ > pid; exec sleep 300")
    requires(LEAF)
    command = [sys.executable, "-m", "amoc", "run", "shop.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE) as run:
        pid = eventually(lambda: lines(Path("pid")), "the installer has begun")[0]
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=DEADLINE_S)

    assert run.returncode == ExitCode.INTERRUPTED
    assert errors.strip() == b"amoc: installing the dependencies of shop.py with uv"
    assert not Path(f"/proc/{pid}/exe").exists()
    assert environments() == []
    assert not Path("amoc-runs").exists()


def test_passwords_in_an_installers_output_are_hidden(program):
    program("echo 'no answer from https://me:s3cret@host/simple, nor https://t0ken@host'; exit 2")
    requires(LEAF)

    with pytest.raises(ScenarioError) as raised:
        prepare()

    assert str(raised.value).splitlines()[1] == (
        "  no answer from https://(hidden)@host/simple, nor https://(hidden)@host"
    )


def test_a_missing_installer_is_named(uv, monkeypatch):
    requires(LEAF)
    monkeypatch.setenv("AMOC_INSTALLER", "/nowhere/uv")

    with pytest.raises(
        ResourceError, match="uv cannot be started: there is no program /nowhere/uv"
    ):
        prepare()


def test_an_unwritable_cache_is_reported(uv, monkeypatch):
    requires(LEAF)
    Path("file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("file").resolve()))

    with pytest.raises(ResourceError, match=r"Not a directory; set XDG_CACHE_HOME to a directory"):
        prepare()


def aged(name: str) -> None:
    """Make an environment look as if it was last used 40 days ago."""
    path = Path("cache/amoc/environments", name, "resolved.txt")
    long_ago = path.stat().st_mtime - 40 * 86_400
    os.utime(path, (long_ago, long_ago))


def test_an_old_environment_is_removed_unless_a_process_uses_it(uv):
    requires("amoctestleaf<2")
    assert amoc("check", "shop.py").returncode == 0
    [old] = environments()
    aged(old)
    requires("amoctestleaf")
    _, told = prepare()  # this process uses it from now on
    assert told[-1] == "removed 1 old environment of scenarios (0 MB)"
    [used] = environments()
    assert used != old
    aged(used)

    requires("amoctesttree")
    done = amoc("check", "shop.py")

    assert done.returncode == 0
    assert len(environments()) == 2
    assert used in environments()
    assert "removed" not in done.stderr
    aged(used)
    requires("amoctestleaf")
    prepare()
    path = Path("cache/amoc/environments", used, "resolved.txt")
    assert path.stat().st_mtime > time.time() - 86_400, "it is used again"


LOCKED = (Dependency("amoctestleaf", "1.0", "installed"),)


@contextmanager
def held(environment: str, kind: int) -> Iterator[int]:
    """Lock an environment as another process might; yield the descriptor."""
    with Path("cache/amoc/environments", environment, "resolved.txt").open() as file:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        yield file.fileno()


def test_a_process_that_prunes_environments_does_not_block_their_use(uv, monkeypatch):
    requires("amoctestleaf<2")
    assert amoc("check", "shop.py").returncode == 0
    [old] = environments()
    with held(old, fcntl.LOCK_EX) as file:
        monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(file, fcntl.LOCK_UN))
        found, told = prepare(install=False)
    assert (found.dependencies, told) == (LOCKED, [])


def test_an_environment_locked_while_it_is_pruned_is_kept(uv, monkeypatch):
    requires("amoctestleaf<2")
    assert amoc("check", "shop.py").returncode == 0
    [old] = environments()
    users = ExitStack()

    def all_are_old(found, _):
        users.enter_context(held(old, fcntl.LOCK_SH))  # so no process can lock it exclusively
        return [one for one in found if one.name == old]

    monkeypatch.setattr(cached_environments, "to_prune", all_are_old)
    requires("amoctestleaf")
    with users:
        _, told = prepare()
    assert old in environments()
    assert not any("removed" in line for line in told)


@pytest.fixture
def indexed(uv, index, monkeypatch):
    """uv with an index that serves hashes, for locks made by `uv lock --script`."""
    with wheels.served(index) as variables:
        for name in ("UV_NO_INDEX", "UV_FIND_LINKS"):
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


def lock(scenario: Path) -> None:
    command = [find_uv_bin(), "lock", "--script", str(scenario), "--python", sys.executable]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr


def test_uvs_own_lock_is_used_as_it_is(indexed, index):
    wheels.wheel(index, "amoctestwindows", "1.0")
    scenario = requires("amoctestleaf<2", "amoctestwindows; sys_platform == 'win32'")
    (index.parent / "simple/amoctestwindows").mkdir()
    (index.parent / "simple/amoctestwindows/index.html").write_text(
        '<a href="/index/amoctestwindows-1.0-py3-none-any.whl">'
        "amoctestwindows-1.0-py3-none-any.whl</a>"
    )
    lock(scenario)

    found, told = prepare(locked=True)

    assert found.dependencies == LOCKED
    assert told == ["installing the dependencies of shop.py with uv"]
    assert prepare(locked=True) == (found, [])
    assert Path(found.libraries, "amoctestleaf.py").is_file()


def test_a_stale_uv_lock_is_refused_if_required_and_otherwise_ignored(indexed):
    lock(requires("amoctestleaf<2"))
    requires("amoctestleaf>=1", "amoctesttree")

    with pytest.raises(ScenarioError) as raised:
        prepare(locked=True)
    said = str(raised.value)
    assert "needs to be updated" in said
    assert said.endswith("\nto renew it: uv lock --script shop.py")

    found, told = prepare()
    assert {one.name for one in found.dependencies} > {"amoctestleaf", "amoctesttree"}
    assert any(line.startswith("warning: shop.py.lock is not used: ") for line in told), told


def test_pip_refuses_a_uv_lock(indexed, monkeypatch):
    lock(requires("amoctestleaf<2"))
    monkeypatch.setenv("AMOC_INSTALLER", "pip")
    with pytest.raises(
        ScenarioError, match=r"^shop\.py\.lock is a lock of uv, and pip cannot read"
    ):
        prepare(locked=True)
