"""Addresses, hosts and secrets, as operators write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from amoc.base.errors import UsageError
from amoc.ipc.messages.keeper import Join
from amoc.runtime.remote import secret, ssh
from amoc.runtime.remote.address import DEFAULT_PORT, Address, parse
from amoc.runtime.remote.rendezvous import mismatch


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://10.0.0.1:4200", Address("10.0.0.1", 4200)),
        ("10.0.0.1", Address("10.0.0.1", DEFAULT_PORT)),
        ("load-1.example.org:5000", Address("load-1.example.org", 5000)),
        ("tcp://[fd00::1]:4100", Address("[fd00::1]", 4100)),
        ("[::]", Address("[::]", DEFAULT_PORT)),
        ("tcp://:4711", Address("", 4711)),
        ("*:0", Address("*", 0)),
    ],
)
def test_an_address_is_parsed(text, address):
    assert parse(text, "--bind") == address


@pytest.mark.parametrize(
    "text",
    ["http://a:1", "tcp://a:65536", "a:b", "a b", "fd00::1", "tcp://u@h:1", "a:65532", "a/b"],
)
def test_an_invalid_address_is_refused_and_named(text):
    with pytest.raises(UsageError, match=r"--bind must be an address such as tcp://10\.0\.0\.1"):
        parse(text, "--bind")


def test_ports_follow_each_other_or_are_any():
    assert Address("*", 4100).ports(1) == (4101, 4102)
    assert Address("*", 4100).ports(3) == (4103, 4104)
    assert Address("*", 0).ports(3) == (0, 0)


def test_the_command_of_ssh_has_the_address_and_no_secret():
    command = ssh.command("user@[fd00::1]:22", "amoc", "tcp://:4100")
    assert command[-4:] == [
        "22",
        "--",
        "user@fd00::1",
        "exec amoc node --controller 'tcp://:4100' --secret-file - --name fd00::1",
    ]
    assert "BatchMode=yes" in command


def test_a_secret_is_read_without_blanks(tmp_path: Path):
    path = tmp_path / "s"
    path.touch(0o600)
    path.write_text("  0123456789abcdef\n")
    assert secret.in_file(str(path)) == b"0123456789abcdef"


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path):
    path = tmp_path / "s"
    path.touch(0o600)
    path.write_text("0123456789abcdef")
    path.chmod(0o640)
    with pytest.raises(UsageError, match="accessible to its owner only; run chmod 600"):
        secret.in_file(str(path))


def test_a_short_secret_is_refused_and_not_shown(tmp_path: Path):
    path = tmp_path / "s"
    path.touch(0o600)
    path.write_text("hunter2")
    with pytest.raises(UsageError, match="of 16 to 4,096 characters, got 7") as caught:
        secret.in_file(str(path))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        secret.in_file(str(tmp_path / "none"))


def test_a_host_with_another_version_is_told_so_in_one_line():
    join = Join("1.0", "3.11.7", "h1", 1, b"", b"")
    assert mismatch(join, "1.0", "3.11.9") == ""
    assert mismatch(join, "1.1", "3.11.7") == "it has amoc 1.0, but the controller has 1.1"
    assert mismatch(join, "1.0", "3.12.1") == "it has Python 3.11.7, but the controller has 3.12.1"
