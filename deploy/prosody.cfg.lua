-- A server to try amoc on: anybody may register, from the network of compose.yaml. Never on a network of others.
network_backend = "epoll"
network_settings = { tcp_backlog = 4096 }
interfaces = { "*" }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
allow_registration = true
limits = {}
s2s_ports = {}
modules_enabled = { "roster", "saslauth", "disco", "register", "ping" }
modules_disabled = { "s2s" }
log = { info = "*console" }
VirtualHost "localhost"
