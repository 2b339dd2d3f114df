"""Scenarios written by amoc: from a browser's recording, an OpenAPI document, or a template.

Each source is turned into Python for people to read and change; nothing here runs it.
"""
