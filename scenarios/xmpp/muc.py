"""Users chat in rooms (XEP-0045), so many to a room; each message goes to all who are in its room.

amoc run scenarios/xmpp/muc.py --users 100 --duration 30s

The first user of a room creates it. Each joins once, without history, and then writes at random
intervals until the run ends. messages_sent counts what users wrote, messages_received what rooms
brought them, their own messages included; message_ttd is the time from one to the other. room_join
is the time from the request to enter until the room has let the user in, with all occupants. A room
that its first user has not configured yet is asked again.

Without xmpp_servers amoc starts a small XMPP server for it. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import expect, setting, user, xmpp

room_size = setting(10, "How many users share a room", verify=lambda n: n >= 1)
interval = setting(5.0, "Mean seconds between two messages of a user", verify=lambda s: s > 0)

expect("room_join.p99 < 5s")


def start(user_id):
    # The inbox is off: messages are counted and timed when they arrive, and not read here.
    with xmpp.connect(user_id, inbox_size=0) as client:
        number = (user_id - 1) // room_size.get() + 1  # users 1 to 10 are in room 1
        with client.join(f"room-{number}") as room:
            while not user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
                room.say("How do you do?")
