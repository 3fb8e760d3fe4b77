"""The node as a pure machine: pools made of strategies, and what core itself does between them."""
