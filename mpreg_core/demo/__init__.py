"""The demo: a whole federation with real sockets in one process, and a tour of what it does."""
