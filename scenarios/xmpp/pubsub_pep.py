"""Users publish to their own node (PEP, XEP-0163), or all to one node of a service (XEP-0060).

amoc run scenarios/xmpp/pubsub_pep.py --users 100 --duration 30s
amoc run scenarios/xmpp/pubsub_pep.py --users 20 --duration 30s --set where=service

With where=account, a user announces in its presence that it wants the node's events, publishes, and
gets the event itself, as its contacts would. With where=service, all users subscribe to one node,
and each event goes to all of them: the number of events grows with the square of the number of
users. pubsub_publish is the time until the service has accepted an item, event the time until its
publisher has received the event. Events do not count as received messages.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

import contextlib
from time import monotonic

from amoc import expect, metrics, setting, user, xmpp

where = setting("account", "Where users publish", verify=["account", "service"], type=str)
service = setting("pubsub.localhost", "The service for where=service", type=str)
interval = setting(5.0, "Mean seconds between two items of a user", verify=lambda s: s > 0)
NODE = "urn:amoc:mood"

expect("pubsub_publish.failures == 0")
expect("event.p99 < 5s")


def start(user_id):
    with xmpp.connect(user_id, inbox_size=0) as client:
        at = prepare(client)
        sent = {}  # when each item was published, until its event has arrived
        client.on_received(xmpp.is_event(NODE), lambda event: seen(event, sent))
        number = 0
        while not user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
            number += 1
            item = f"{user_id}-{user.iteration}-{number}"
            sent[item] = monotonic()
            client.publish(NODE, f"<mood xmlns='{NODE}'>fine</mood>", id=item, at=at)


def prepare(client):
    """Subscribe the user to the node's events; return the address to publish at."""
    if where.get() == "account":
        client.announce(f"{NODE}+notify")
        # Publishing would create it, too, but would make the first item slower than the others.
        with contextlib.suppress(xmpp.IqError):  # it exists from an earlier iteration
            client.create_node(NODE)
        return None
    client.send_presence()
    # Another user may be faster, which servers report in different ways; then the node exists.
    with contextlib.suppress(xmpp.IqError):
        client.create_node(NODE, {"publish_model": "open"}, at=service.get())
    client.subscribe(NODE, at=service.get())
    return service.get()


def seen(event, sent):
    for item in xmpp.event_of(event).items:
        if item.id in sent:
            metrics.timer("event").record(monotonic() - sent.pop(item.id))
