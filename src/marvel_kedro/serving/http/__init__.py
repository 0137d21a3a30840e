"""The ASGI application: protocol, authentication, limits, pages and access log."""
