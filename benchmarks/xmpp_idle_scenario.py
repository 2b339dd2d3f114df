"""Users that log in, and stay logged in without doing anything."""

from amoc import user, xmpp


def start(user_id):
    with xmpp.connect(user_id, inbox_size=0) as client:
        client.send_presence()
        user.wait_stopping()
