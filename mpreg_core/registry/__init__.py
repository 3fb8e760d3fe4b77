"""Clusters and services as pure data structures: a hub's registry, summaries for all others, the choice among them.

`clusters` is what one hub knows in full, `summary` what it tells the federation, `selection` the order in which
candidates are offered.
"""
