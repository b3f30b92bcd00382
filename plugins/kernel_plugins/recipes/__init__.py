"""Recipes: what one training step computes."""
