"""Users chat in light rooms (MongooseIM's MUC light): members instead of occupants, no presence.

amoc run scenarios/xmpp/muc_light.py --users 100 --duration 30s

As soon as enough users have gathered, the first of them creates a room with all of them as members,
and all write in it at random intervals until the run ends. light_room_create is the time that the
creation takes. messages_sent, messages_received and message_ttd are as in muc.py; changes of
members do not count as messages.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import coordinator, expect, receive, send, setting, user, xmpp

room_size = setting(5, "Number of members per room", verify=lambda n: n >= 1)
interval = setting(5.0, "Mean seconds between two messages of a user", verify=lambda s: s > 0)

expect("light_room_create.failures == 0")


def init():
    # Users are gathered whichever workers they are in; those left over after 5 s share a room.
    coordinator.start("rooms", (room_size.get(), gather), timeout=5)


def gather(event, users):
    # This runs in a worker, once per group; each user is (its number, the value added with it).
    members = [member for member, _ in users]
    for member in members:
        send(member, members)


def start(user_id):
    with xmpp.connect(user_id) as client:
        client.send_presence()
        coordinator.add("rooms")
        owner, *others = receive(timeout=60)
        if user_id == owner:
            # No two groups have the same first user, so no other call of start() uses this name.
            room = client.create_light_room(f"{user.iteration}-of-{owner}", members=others)
            for other in others:
                send(other, room.jid)
        else:
            room = client.light_room(receive(timeout=60))
        while not user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
            room.say("How do you do?")
            while client.receive_nowait() is not None:
                pass  # empty the inbox: messages are counted and timed when they arrive
