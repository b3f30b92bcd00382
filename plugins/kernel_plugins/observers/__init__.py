"""Observers: they watch a run or a training."""
