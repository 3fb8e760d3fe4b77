"""Certificates for the tests."""

from certificates import files, others

__all__ = ["files", "others"]
