"""Users log in one by one; when all of them are there they fire at the same moment.

amoc run scenarios/barrier.py --users 200 --set together=200 --duration 30s

Without xmpp_servers amoc starts a small XMPP server for it. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import coordinator, setting, user, xmpp

together = setting(200, "How many users fire together", verify=lambda n: n >= 1)
pause = setting(2.0, "Seconds between a volley and the next", verify=lambda s: s >= 0)


def start(user_id):
    with xmpp.connect(user_id) as client:
        client.send_presence()
        while not user.stopping:
            # Waits until so many users are in it, and lets all of them go at one moment. A user
            # that is asked to stop before, because the run ends, does so from here.
            coordinator.barrier("volley", together.get(), timeout=600)
            client.ping()  # to the server and back; measured by itself as the timer request
            user.wait_stopping(pause.get())
