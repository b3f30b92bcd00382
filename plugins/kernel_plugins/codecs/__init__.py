"""Codecs: audio to latents and back."""
