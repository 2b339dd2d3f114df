"""Locustfiles as they are: Locust's classes on amoc's engine. See docs/locust.md.

The scenario's loader puts `stand_in` in the place of the package ``locust``, see
`amoc.scenario.foreign`.
"""
