"""What all tests share: hypothesis without deadlines, for on a shared machine a pause is none."""

from hypothesis import HealthCheck, settings

settings.register_profile("amoc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amoc")
