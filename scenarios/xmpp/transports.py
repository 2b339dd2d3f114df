"""Users log in, ping the server a few times, and log out, over any transport.

amoc run scenarios/xmpp/transports.py --users 50 --duration 30s --set repeat_interval=1000

The addresses in xmpp_servers define how users connect; nothing else changes:

--set xmpp_servers=127.0.0.1:5222                               TCP
--set xmpp_servers=ws://127.0.0.1:5280/xmpp-websocket           WebSocket (RFC 7395)
--set xmpp_servers=http://127.0.0.1:5280/http-bind              BOSH (XEP-0124, 0206)

connection is the time from the connect to the bound session, ping that of a ping, session that of
everything, including the orderly close. All scenarios of amoc run over all transports in this way.

Without xmpp_servers, amoc starts a small XMPP server, and users connect over TCP.
"""

from amoc import expect, metrics, setting, user, xmpp

pings = setting(5, "Number of pings per session", verify=lambda n: n >= 0)
interval = setting(0.5, "Mean seconds between two pings", verify=lambda s: s >= 0)

expect("connection_failures == 0")
expect("disconnections == 0")


def start(user_id):
    with metrics.timer("session").time(), xmpp.connect(user_id) as client:
        client.send_presence()
        for _ in range(pings.get()):
            if user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
                break
            client.ping()
