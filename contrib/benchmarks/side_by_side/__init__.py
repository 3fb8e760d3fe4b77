"""mpreg and serf on the same work, on the same machine, in one run."""
