"""Shows runs and trainings in MLflow."""
