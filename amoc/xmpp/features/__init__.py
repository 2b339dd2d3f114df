"""What a client can do beyond sending, asking and receiving: one mixin of `Client` per feature.

A feature adds methods, no attributes: what it must remember is made when it is first used, and kept
in the session or in an object that the call returns. So an idle user pays for none of them.
"""
