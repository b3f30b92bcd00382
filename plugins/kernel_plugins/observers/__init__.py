"""Observers: what watches a run or a training."""
