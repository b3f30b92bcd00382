"""Wrappers of what other components build."""
