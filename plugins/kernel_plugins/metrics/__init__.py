"""Metrics: one file each, named after its entry point."""
