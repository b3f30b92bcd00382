"""Metrics that compare speech with what it should be, one module each."""
