"""Run directories: created completely or not at all, and found by the run active in them."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from amoc.base.errors import ResourceError, UsageError
from amoc.base.unix_socket import reachable
from amoc.results.journal import Journal
from amoc.results.run_directory import RunDirectory, find, locate

AT = datetime(2026, 11, 24, 23, 3, 34, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def create(name="chat", explicit=None) -> RunDirectory:
    return RunDirectory.create(explicit, name, AT)


@contextmanager
def running(directory: RunDirectory):
    with socket.socket(socket.AF_UNIX) as line:
        with reachable(directory.control) as address:
            line.bind(address)
        line.listen(4)
        yield


def test_a_run_gets_a_new_directory_that_only_its_owner_can_enter():
    one = create()
    assert one.path == Path("amoc-runs/20261124T230334-chat")
    assert one.path.stat().st_mode & 0o777 == 0o700
    assert one.journal.parent == one.control.parent == one.path
    assert one.id == "20261124T230334-chat"


def test_runs_with_the_same_time_and_name_get_a_number():
    assert [create().path.name[16:] for _ in range(3)] == ["chat", "chat-2", "chat-3"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc", "_.._etc"),
        ("my chat", "my_chat"),
        ("a.b", "a.b"),
        ("über", "_ber"),
        ("", "scenario"),
    ],
)
def test_directory_names_need_no_shell_quoting(name, plain):
    assert create(name).path.name == f"20261124T230334-{plain}"


def test_an_explicit_directory_is_created_with_its_parents():
    one = create(explicit="a/b/c")
    assert one.path == Path("a/b/c")
    assert one.path.stat().st_mode & 0o777 == 0o700


def test_an_explicit_directory_may_exist_if_it_is_empty():
    Path("mine").mkdir(0o755)
    assert create(explicit="mine").path.stat().st_mode & 0o777 == 0o700
    Path("mine/x").touch()
    with pytest.raises(UsageError, match="--run-dir mine must be new or empty, but holds files"):
        create(explicit="mine")


def test_a_file_in_place_of_the_directory_is_one_clear_error():
    Path("file").touch()
    for explicit in ("file", "file/below"):
        with pytest.raises(UsageError, match=f"must be a directory, got the file {explicit}"):
            create(explicit=explicit)
    Path("amoc-runs").touch()
    with pytest.raises(
        ResourceError, match=r"cannot be created: .*; choose another place with --run-dir DIR"
    ):
        create()


def test_nothing_is_left_when_the_directory_cannot_be_created(monkeypatch):
    made = Path.mkdir

    def refuse(self, mode=0o777, **_):
        if self.name == "deep":
            raise OSError(28, "No space left on device")
        made(self, mode)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ResourceError, match="--run-dir a/b/deep cannot be created: No space left"):
        create(explicit="a/b/deep")
    assert not Path("a").exists()


def test_a_run_that_did_not_begin_leaves_no_directory():
    one = create()
    Journal(one.journal).close()
    one.discard()
    assert not Path("amoc-runs").exists()


def test_discarding_a_directory_keeps_foreign_files():
    one, other = create(), create()
    (other.path / "notes").touch()
    one.discard()
    other.discard()
    assert [path.name for path in Path("amoc-runs").iterdir()] == [other.id]


def test_the_only_active_run_is_found():
    create("first")
    second = create("second")
    with running(second):
        assert find().path == second.path
        assert find(second.id).path == second.path
        assert find(str(second.path)).path == second.path


def test_a_killed_run_is_not_running_although_its_socket_exists():
    one = create()
    with running(one):
        pass
    assert one.control.exists()
    assert not one.answers()
    with pytest.raises(UsageError, match=r"no run is running here \(looked in amoc-runs\)"):
        find()
    with pytest.raises(UsageError, match="is not running: it does not answer"):
        find(one.id)


def test_a_run_that_cannot_be_looked_at_does_not_answer():
    assert not RunDirectory(Path("x" * 300)).answers()


def test_several_active_runs_are_listed():
    one, other = create("one"), create("other")
    with (
        running(one),
        running(other),
        pytest.raises(UsageError, match=r"several runs are running: .*other, .*one; choose one"),
    ):
        find()


def test_without_a_runs_directory_no_run_is_found():
    with pytest.raises(UsageError, match="no run is running here"):
        find()
    for run in ("nowhere", ""):
        with pytest.raises(UsageError, match=r"--run must be last .*, the directory of a run"):
            find(run)


def test_a_run_is_located_by_part_of_its_name_or_its_id():
    one, other = create("one"), create("other")
    for directory, run_id in ((one, "20261124T230334-00aa"), (other, "20261124T230334-00bb")):
        journal = Journal(directory.journal)
        journal.write("run", id=run_id)
        journal.close()
    assert locate("20261124T230334-on").path == one.path
    assert locate("20261124T230334-00bb").path == other.path
    with pytest.raises(UsageError, match="--run 2026 is ambiguous: it may be"):
        locate("2026")


def test_a_socket_path_longer_than_the_kernel_limit_works():
    deep = Path(*["d" * 50] * 5)
    one = create(explicit=str(deep))
    assert len(str(one.control)) > 200
    with running(one):
        assert one.control.is_socket()
        assert one.answers()
        assert find(str(one.path)).path == one.path
    fds = len(list(Path("/proc/self/fd").iterdir()))
    assert not one.answers()
    assert len(list(Path("/proc/self/fd").iterdir())) == fds
