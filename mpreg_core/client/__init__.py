"""`mpreg_core.client`: ask, serve, publish and subscribe without running a node."""

from mpreg_core.client.bodies import reply_body, request_body, serving_body
from mpreg_core.client.client import Client
from mpreg_core.client.reply_bodies import ReplyBody
from mpreg_core.security.certificates import client_context as tls_context

__all__ = ["Client", "ReplyBody", "reply_body", "request_body", "serving_body", "tls_context"]
