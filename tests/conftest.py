"""What all tests share."""

from hypothesis import HealthCheck, settings

# A busy machine must not fail a property: no deadlines, no complaint about slow drawing.
settings.register_profile("agelens", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agelens")
