"""Users chat in rooms of a given size (XEP-0045); each message goes to everyone in its room.

amoc run scenarios/xmpp/muc.py --users 100 --duration 30s

The first user of a room creates it. Each user joins once, without history, and then writes at
random intervals until the run ends. messages_sent counts messages written by users,
messages_received those delivered by rooms, including the user's own; message_ttd is the time
between the two. room_join is the time from the request to join until the room has let the user in
and listed all occupants. If the first user has not configured the room yet, the join is retried.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import expect, setting, user, xmpp

room_size = setting(10, "Number of users per room", verify=lambda n: n >= 1)
interval = setting(5.0, "Mean seconds between two messages of a user", verify=lambda s: s > 0)

expect("room_join.p99 < 5s")


def start(user_id):
    # No inbox: messages are counted and timed when they arrive, and not read here.
    with xmpp.connect(user_id, inbox_size=0) as client:
        number = (user_id - 1) // room_size.get() + 1  # users 1 to 10 are in room 1
        with client.join(f"room-{number}") as room:
            while not user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
                room.say("How do you do?")
