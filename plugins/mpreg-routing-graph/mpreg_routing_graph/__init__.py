"""Routes requests along the cheapest path of the measured graph of links."""

__version__ = "0.1.0"
