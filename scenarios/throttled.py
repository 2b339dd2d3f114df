"""Users share a rate: so many requests a minute over all of them, whatever their number.

amoc run scenarios/throttled.py --users 100 --duration 30s
amoc run scenarios/throttled.py --users 100 --duration 60s --throttle "requests=30s:600, 30s:6000"

While it runs, `amoc set request_rate=1200` in another terminal changes the rate.
"""

from amoc import metrics, setting, sleep, throttle, user

request_rate = setting(
    600,
    "Requests a minute over all users",
    verify=lambda rate: rate >= 0,
    # Runs in every worker when the setting is changed during a run; asking for the rate that is
    # there already does nothing.
    update=lambda _old, new: throttle.change_rate("requests", new),
)
at_once = setting(5, "How many uploads there may be at the same time", verify=lambda n: n >= 1)


# Throttles are known by their names to all users of all workers. init() runs before them.
def init():
    throttle.start("requests", rate=request_rate.get(), interval=60)
    throttle.limit_concurrency("uploads", at_once.get())


def start(user_id):
    for _ in range(10):
        throttle.wait("requests")
        # The throttle meant this to begin at its slot's time. `request` is how long it took,
        # `request.response` how long since then: what a target that stalls cannot hide.
        with metrics.timer("request").time():
            sleep(user.random.uniform(0.01, 0.03))  # instead of talking to a server
    # A place among a few, given back at the end of the block, however that is left.
    with throttle.permit("uploads"), metrics.timer("upload").time():
        sleep(0.1)
