"""What both ends of an XMPP stream share; nothing here knows which end it serves.

`namespaces` has the names, `xml_text` writes XML, `parser` reads it and refuses what XMPP forbids,
`framing` cuts a stream into elements, `elements` writes those that open, end and fail a stream,
`mechanisms` logs a client in. None of them knows a socket: a transport hands over bytes, whatever
carried them.
"""
