"""Schedules: which sigmas are visited and trained."""
