"""`mpreg_core.client`: ask, serve, publish and subscribe without running a node."""

from mpreg_core.client.bodies import request_body, serving_body
from mpreg_core.client.client import Client

__all__ = ["Client", "request_body", "serving_body"]
