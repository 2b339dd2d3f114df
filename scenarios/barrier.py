"""Users log in one by one; once all of them are logged in, they fire at the same moment.

amoc run scenarios/barrier.py --users 200 --set together=200 --duration 30s

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import coordinator, setting, user, xmpp

together = setting(200, "Number of users that fire together", verify=lambda n: n >= 1)
pause = setting(2.0, "Seconds between two volleys", verify=lambda s: s >= 0)


def start(user_id):
    with xmpp.connect(user_id) as client:
        client.send_presence()
        while not user.stopping:
            # Waits until that many users have arrived, and releases all of them at the same moment.
            # If the run ends first, the user ends here.
            coordinator.barrier("volley", together.get(), timeout=600)
            client.ping()  # a round trip to the server; timed automatically as `ping`
            user.wait_stopping(pause.get())
