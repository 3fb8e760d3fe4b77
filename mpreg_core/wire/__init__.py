"""What goes over the wire: the envelope of every frame, core's own messages, and the codec with its limits."""
