"""Wrappers: changes of the networks, codecs and solvers that other components build."""
