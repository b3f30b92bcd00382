"""Recipes: the computations of one training step."""
