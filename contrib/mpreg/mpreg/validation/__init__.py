"""Checking configurations: `python -m mpreg.validation.validate_config`."""
