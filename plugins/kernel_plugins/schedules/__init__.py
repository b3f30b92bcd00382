"""Schedules: the sigmas of sampling grids and of training."""
