"""Numba kernels: arrays in, arrays out. Nothing here knows about users, files or models."""
