"""Replicated state as pure data structures: clocks, values that merge, the store of them, the items of a pool.

Read `clock`, then `value` (what every policy has in common), one policy (`registers`, `siblings`, `counter`, `sets`,
`maps`), `version` (what travels), and `store` last. `items` is what a pool's gossip strategy sees.
"""
