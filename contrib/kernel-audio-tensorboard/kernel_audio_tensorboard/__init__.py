"""Shows runs and trainings in TensorBoard."""
