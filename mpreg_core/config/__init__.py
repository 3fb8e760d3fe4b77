"""The operator's configuration: read, layered, checked, and turned into the strategies that each pool runs."""
