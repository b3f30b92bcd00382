"""Frozen networks that tasks, metrics and guidances listen with."""
