"""Measurements: how well and how fast the project does what it promises, beside its peers."""
