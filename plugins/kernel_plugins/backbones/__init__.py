"""Backbones: the architectures of the network."""
