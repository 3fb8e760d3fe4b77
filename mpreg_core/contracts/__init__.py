"""The contracts between core and plugins: what a strategy receives, returns and promises.

Read in this order: `machine` (the shape of all strategies), `effects` (what they return), `members` and `events` (what
they speak of), then the one family you write: `failure_detector`, `gossip`, `consensus`, `router` or `transport`;
`strategy` last, for the spec that a plugin registers. `service` and `api` are for plugins that run beside a node.
"""
