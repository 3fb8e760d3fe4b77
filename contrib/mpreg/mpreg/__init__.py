"""The deployment guide's import paths, over mpreg_core."""
