"""Model packs: trained weights as package data, found by the kernel without being imported."""
