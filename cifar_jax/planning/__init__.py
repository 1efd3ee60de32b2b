"""Trainings as accelerators' compilers see them, on a machine that has none of them."""
