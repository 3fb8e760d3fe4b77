"""Discovery of plugins, and what they provide. Pluggy finds and observes; it is never on the packet path."""
