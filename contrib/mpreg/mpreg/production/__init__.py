"""Running nodes in production: `python -m mpreg.production.start_node`."""
