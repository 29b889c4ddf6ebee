"""Verdicts of an LLM on answers that no rule can judge: the judge, its prompts, and what it is asked."""
