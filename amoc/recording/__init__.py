"""Scenarios that are written by amoc: from a browser's recording, an OpenAPI file, or a template.

Each of them turns what it reads into Python that people read and change; nothing here runs it.
"""
