"""Generative models of fake images: training, sampling, quality."""
