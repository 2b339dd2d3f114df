"""A fast XMPP server for tests and benchmarks: no database, no federation.

`serve()` runs it as a process, `Server` inside a gevent process such as a test.
"""

from amoc.xmppd.limits import Limits
from amoc.xmppd.listener import Server
from amoc.xmppd.process import serve
from amoc.xmppd.statistics import Statistics

__all__ = ["Limits", "Server", "Statistics", "serve"]
