"""Guidances: what changes a denoiser's answer."""
