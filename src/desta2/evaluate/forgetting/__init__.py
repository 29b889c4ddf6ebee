"""Forgetting: whether the LLM still is what it was before it learned to hear."""
