"""Several kinds of users in a run: by weight, whatever happens to their workers."""

from __future__ import annotations

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import eventually, lines, running

pytestmark = pytest.mark.slow

MIXED = """
    import os
    import amoc
    from amoc import sleep, user

    FILE = os.open(HERE + "/begun", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def begin(kind, user_id):
        os.write(FILE, f"{kind} {user_id} {os.getpid()}\\n".encode())

    class Buyer:
        def start(self, user_id):
            begin("Buyer", user_id)
            sleep(0.1)
            raise ValueError("sold out")

    def browser(user_id):
        begin("browser", user_id)
        user.wait_stopping()

    amoc.users({Buyer: 1, browser: 3})
    """


def test_a_user_stays_of_its_kind_and_crashes_name_it(scenario, tmp_path):
    arguments = ("--users", "20", "--workers", "2", "--set", "user_rate=infinity")
    with running(scenario(MIXED), *arguments, directory=tmp_path) as run:
        workers = run.wait_for("worker", 2)

        def begun() -> list[tuple[str, int, int]]:
            found = (line.split() for line in lines(tmp_path / "begun"))
            return [(kind, int(user_id), int(pid)) for kind, user_id, pid in found]

        eventually(lambda: len({user_id for _, user_id, _ in begun()}) == 20, "all users")
        run.kill(workers[0])
        eventually(
            lambda: (
                {pid for _, _, pid in begun()} - set(workers)
                and len({one for one in begun() if one[2] not in workers}) == 10
            ),
            "its users again",
        )
        run.kill(run.pid, 2)
        assert run.end() in (0, ExitCode.THRESHOLD), run.output
        summary = run.summary()
    kinds = {
        user_id: {kind for kind, one, _ in begun() if one == user_id} for user_id in range(1, 21)
    }
    assert all(len(found) == 1 for found in kinds.values())
    assert sum(found == {"Buyer"} for found in kinds.values()) == 5
    assert summary["counters"]["kind.browser.users"] >= 15
    assert summary["counters"]["kind.Buyer.iterations"] >= 5
    (crash,) = summary["crashes"]
    assert crash["cause"].startswith("Buyer: ValueError: sold out (trial.py:")
