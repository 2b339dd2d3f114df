"""Mail between the workers of a real run: all of it is delivered, or counted as undeliverable."""

from __future__ import annotations

import pytest

from tests.process.support import also_over_nodes, eventually, lines, running

pytestmark = pytest.mark.slow


def mail(summary):
    kinds = ("sent", "received", "refused", "undeliverable")
    return {kind: summary["counters"].get(f"mail_{kind}", 0) for kind in kinds}


@also_over_nodes("--workers", "3")
def test_all_mail_between_all_users_of_all_workers_arrives_in_order(scenario, tmp_path, spread):
    file = scenario(
        """
        from pathlib import Path
        from amoc import receive, send, sleep

        USERS, EACH = 9, 200

        def start(user_id):
            (Path(HERE) / f"here_{user_id}").touch()
            while len(list(Path(HERE).glob("here_*"))) < USERS:
                sleep(0.01)
            heard = {sender: [] for sender in range(1, USERS + 1)}
            hear = lambda sender, number: heard[sender].append(number)
            for number in range(EACH):
                for other in range(1, USERS + 1):
                    send(other, (user_id, number))
                for _ in range(USERS):
                    hear(*receive(timeout=30))
            assert all(numbers == list(range(EACH)) for numbers in heard.values())
        """
    )
    settings = ("--set", "repeat_num=1", "--set", "interarrival=10")
    with running(file, "--users", "9", *spread, *settings, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["crashes"] == [], run.output
    wanted = 9 * 9 * 200
    assert mail(summary) == {"sent": wanted, "received": wanted, "refused": 0, "undeliverable": 0}


def test_undeliverable_mail_is_counted_and_raises_only_with_check(scenario, tmp_path):
    file = scenario(
        """
        from amoc import coordinator, receive, send
        from amoc.base.errors import MailError

        def start(user_id):
            coordinator.barrier("all are there", 3, timeout=60)
            if user_id == 1:
                send(1000, "nobody")
                for nobody in (1000, 1001):  # one id of the other worker, one of this
                    try:
                        send(nobody, "nobody", check=True)
                    except MailError as error:
                        assert f"user {nobody} cannot receive mail" in str(error)
                    else:
                        raise AssertionError("no error")
                send(2, "there", check=True)
                for number in range(1200):
                    send(2, number)
                try:
                    send(2, "one too many", check=True)
                except MailError as error:
                    assert "is full" in str(error)
                else:
                    raise AssertionError("no error")
                send(3, "done", check=True)
            elif user_id == 2:
                receive(match=lambda message: message == "never", timeout=3)
            else:
                receive(timeout=30)
        """
    )
    settings = ("--set", "repeat_num=1", "--set", "user_rate=infinity")
    with running(file, "--users", "3", "--workers", "2", *settings, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    assert [one["cause"].split(":")[0] for one in summary["crashes"]] == ["MailTimeout"]
    assert mail(summary) == {
        "sent": 3 + 1 + 1200 + 1 + 1,
        "received": 1000 + 1,
        "refused": 202,
        "undeliverable": 3,
    }
    assert run.output.count("mailbox of user 2 is full") == 1


def test_checked_mail_to_a_killed_worker_raises_and_later_mail_arrives(scenario, tmp_path):
    file = scenario(
        """
        import os
        from amoc import receive, send, sleep
        from amoc.users import mail
        from amoc.base.errors import MailError, PeerError

        mail.CHECK_S = 0.5

        def note(text):
            with open(HERE + "/notes", "a") as file:
                file.write(text + "\\n")

        def start(user_id):
            if user_id == 2:
                note(f"user 2 in {os.getpid()}")
                note(f"user 2 got {receive()}")
                return
            while not os.path.exists(HERE + "/go"):  # until the worker of user 2 is stopped
                sleep(0.01)
            while True:
                try:
                    send(2, "stop", check=True)
                    break
                except (MailError, PeerError) as error:
                    note(type(error).__name__)
        """
    )
    settings = ("--set", "repeat_num=1", "--set", "user_rate=infinity")
    with running(file, "--users", "2", "--workers", "2", *settings, directory=tmp_path) as run:
        notes = tmp_path / "notes"
        eventually(lambda: lines(notes), "user 2 is there")
        worker = int(lines(notes)[0].split()[-1])
        run.kill(worker, 19)
        (tmp_path / "go").touch()
        eventually(lambda: "PeerError" in lines(notes), "a check without an answer")
        run.kill(worker)
        eventually(lambda: "user 2 got stop" in lines(notes), "mail to the new worker")
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["users"]["restarted"] == 1
    assert summary["users"]["finished"] == 2
