"""What a node shows of itself: log lines, metrics, health and traces. Nothing here serves HTTP."""
