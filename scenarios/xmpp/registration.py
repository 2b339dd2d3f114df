"""Users register an account in-band (XEP-0077), log in with it, and delete it.

amoc run scenarios/xmpp/registration.py --users 20 --duration 30s --set repeat_interval=1000

Each iteration registers another account, so names are never taken. registration is the time to
register an account and log in with it for the first time, login that of the second login,
unregister that of the deletion.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, which must allow
registration: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import expect, metrics, setting, user, xmpp

stay = setting(1.0, "Mean seconds that a user stays logged in", verify=lambda s: s >= 0)

expect("connection_failures == 0")


def start(user_id):
    # Random, so that no earlier run on the same server has registered the same account.
    name = f"amoc-{user_id}-{user.random.getrandbits(64):x}"
    account = {"username": name, "password": f"secret of {name}"}
    with metrics.timer("registration").time():
        xmpp.register(user_id, **account)
    with metrics.timer("login").time():
        client = xmpp.connect(user_id, **account)
    with client:
        client.send_presence()
        user.wait_stopping(stay.get() * user.random.uniform(0.5, 1.5))
        with metrics.timer("unregister").time():
            client.unregister()
