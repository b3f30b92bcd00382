"""Objectives: what a network predicts."""
