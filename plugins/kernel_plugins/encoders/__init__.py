"""Encoders: frozen networks of tasks, metrics and guidances."""
