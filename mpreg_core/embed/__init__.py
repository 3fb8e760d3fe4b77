"""A node inside a program: `mpreg_core.Node`, and the view of it that services get."""
