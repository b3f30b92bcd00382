"""The first plugins of kernel-audio."""
