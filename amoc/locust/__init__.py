"""Support for unmodified locustfiles: Locust's classes on amoc's engine. See docs/locust.md.

The loader of scenarios substitutes `stand_in` for the package ``locust``, see
`amoc.scenario.foreign`.
"""
