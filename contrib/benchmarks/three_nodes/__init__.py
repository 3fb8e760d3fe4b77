"""Three processes that decide together, of three makes, under the same work."""
