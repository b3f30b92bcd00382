"""A component for kernel-audio."""
