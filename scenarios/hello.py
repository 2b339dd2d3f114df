"""The smallest scenario worth reading: users greet, wait a little, and greet again.

amoc run scenarios/hello.py --users 10 --duration 10s
"""

from amoc import metrics, setting, sleep, user

# A setting can be changed without touching this file: --set pause=0.2, or AMOC_PAUSE=0.2, or a line
# `pause = 0.2` in amoc.toml. Its type is that of its default.
# With update="free" also while the run goes on: amoc set pause=0.2
pause = setting(
    1.0, "Seconds between two greetings", verify=lambda seconds: seconds > 0, update="free"
)


# start() is what a user does. amoc calls it once for each user, all at the same time; every user
# has a number of its own. Write it as if there was only one user: blocking calls are fine.
def start(user_id):
    print(f"user {user_id} is here")
    # When the run ends a user that waits for amoc, in sleep() say, ends there by an exception; one
    # that does something else finds `stopping` set. What must be done at the end goes into a
    # `finally` block. Whoever is still there after --stop-timeout is removed.
    while not user.stopping:
        # What happens in this block is timed; percentiles over all users are in the summary.
        with metrics.timer("greeting").time():
            sleep(user.random.uniform(0.01, 0.02))  # instead of talking to a server
        metrics.counter("greetings").inc()
        sleep(pause.get())
