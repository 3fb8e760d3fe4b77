"""Who is in the pool and what is known of the rest of the federation."""
