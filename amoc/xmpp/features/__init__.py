"""Features of the client beyond sending, requests and receiving: one mixin of `Client` each.

A feature adds methods but no attributes. Its state is created on first use and kept in the session
or in an object that the call returns, so an idle user pays for none of them.
"""
