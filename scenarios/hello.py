"""The smallest scenario worth reading: users greet, wait a while, and greet again.

amoc run scenarios/hello.py --users 10 --duration 10s
"""

from amoc import metrics, setting, sleep, user

# A setting can be changed without touching this file: --set pause=0.2, or AMOC_PAUSE=0.2, or a line
# `pause = 0.2` in amoc.toml. Its type is that of its default. With update="free" it can also be
# changed during the run: amoc set pause=0.2
pause = setting(
    1.0, "Seconds between two greetings", verify=lambda seconds: seconds > 0, update="free"
)


# start() is what a user does. amoc calls it once per user, concurrently, with the user's number.
# Write it as if there were only one user: blocking calls are fine.
def start(user_id):
    print(f"user {user_id} is here")
    # At the end of the run, a user that is waiting in amoc, for example in sleep(), ends there with
    # an exception; any other user sees `stopping` become true. Put clean-up code into a `finally`
    # block. Users that are still running after --stop-timeout are killed.
    while not user.stopping:
        # This block is timed; the summary has percentiles over all users.
        with metrics.timer("greeting").time():
            sleep(user.random.uniform(0.01, 0.02))  # instead of talking to a server
        metrics.counter("greetings").inc()
        sleep(pause.get())
