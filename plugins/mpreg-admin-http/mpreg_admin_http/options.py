"""The options of `admin-http`."""

from msgspec import Struct


class AdminHttpOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may set; where to listen is in the configuration's `network` and `monitoring` sections.

    - `insecure`: serve although nobody is authenticated, on any address: everyone who can reach the port may then do
      everything, shut the node down included. Only where the network itself keeps strangers out.
    """

    insecure: bool = False
