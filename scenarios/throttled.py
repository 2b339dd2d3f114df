"""Users share a rate: a number of requests per minute over all of them, however many there are.

amoc run scenarios/throttled.py --users 100 --duration 30s
amoc run scenarios/throttled.py --users 100 --duration 60s --throttle "requests=30s:600, 30s:6000"

While it runs, `amoc set request_rate=1200` in another terminal changes the rate.
"""

from amoc import metrics, setting, sleep, throttle, user

request_rate = setting(
    600,
    "Requests per minute over all users",
    verify=lambda rate: rate >= 0,
    # Runs in every worker when the setting is changed during a run; requesting the current rate
    # again does nothing.
    update=lambda _old, new: throttle.change_rate("requests", new),
)
at_once = setting(5, "Maximum concurrent uploads", verify=lambda n: n >= 1)


# All users of all workers refer to a throttle by its name. init() runs before they start.
def init():
    throttle.start("requests", rate=request_rate.get(), interval=60)
    throttle.limit_concurrency("uploads", at_once.get())


def start(user_id):
    for _ in range(10):
        throttle.wait("requests")
        # The throttle scheduled this for its slot's time. `request` is the time it took;
        # `request.response` is the time since the slot, which a stalled target cannot hide.
        with metrics.timer("request").time():
            sleep(user.random.uniform(0.01, 0.03))  # instead of talking to a server
    # One of a limited number of permits, returned at the end of the block, however it ends.
    with throttle.permit("uploads"), metrics.timer("upload").time():
        sleep(0.1)
