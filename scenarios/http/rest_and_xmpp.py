"""Users ask a REST API whom to write to, write to them over XMPP, and report received messages.

amoc run scenarios/http/rest_and_xmpp.py --users 100 --duration 1m --set api=http://127.0.0.1:8080

Without xmpp_servers, amoc starts a small XMPP server.
"""

from amoc import expect, http, metrics, setting, user, xmpp

api = setting("http://127.0.0.1:8080", "Base address of the REST API")
pause = setting(1.0, "Mean seconds between two messages", verify=lambda s: s > 0)

expect("crashes == 0")


def start(user_id):
    with http.session(api.get(), timeout=10) as rest, xmpp.connect(user_id) as client:
        client.send_presence()
        online = {"user": user_id, "jid": client.jid}
        rest.put("/online/{id}", path={"id": user_id}, json=online).check(status=204)
        try:
            while not user.wait_stopping(pause.get() * user.random.uniform(0.5, 1.5)):
                peer = rest.get("/peer", params={"of": user_id}).json()["jid"]
                if peer is not None:
                    client.send_chat(peer, "hello")
                # Report messages received meanwhile; their time through the server is message_ttd.
                while (message := client.receive_nowait(xmpp.is_chat)) is not None:
                    rest.post("/received", json={"user": user_id, "from": message.sender})
                    metrics.counter("reported").inc()
        finally:
            rest.delete("/online/{id}", path={"id": user_id}).check(status=204)
