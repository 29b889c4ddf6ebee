"""Benchmarks: what a model is asked, whether its answers are right, and how sure the score is."""
