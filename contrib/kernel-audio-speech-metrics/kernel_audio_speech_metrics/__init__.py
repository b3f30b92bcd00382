"""Metrics that compare speech with a reference, one module each."""
