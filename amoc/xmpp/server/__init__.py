"""An XMPP server for trials and benchmarks: no database, no TLS, no other servers, but quick.

`serve()` runs it as a process, `Server` inside a gevent process such as a test.
"""

from amoc.xmpp.server.limits import Limits
from amoc.xmpp.server.listener import Server
from amoc.xmpp.server.process import serve
from amoc.xmpp.server.statistics import Statistics

__all__ = ["Limits", "Server", "Statistics", "serve"]
