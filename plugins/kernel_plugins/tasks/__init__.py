"""Tasks: data, conditions and requests."""
