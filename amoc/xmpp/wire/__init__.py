"""Code shared by both ends of an XMPP stream; nothing here knows which end it serves.

`namespaces` defines the names, `xml_text` writes XML, `parser` reads it and rejects what XMPP
forbids, `framing` splits a stream into elements, `elements` writes those that open, end and fail a
stream, `mechanisms` performs logins. None of them uses sockets: transports pass in the bytes.
"""
