"""Shows runs and trainings in Weights & Biases."""
