"""The driver for real life: real clock, sockets, disk and tasks around a `NodeCore`. Runs on any anyio backend."""
