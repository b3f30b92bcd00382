"""Guidances: changes of a denoiser's estimate."""
