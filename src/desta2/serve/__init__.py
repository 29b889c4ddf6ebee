"""The OpenAI-compatible server: limits and keys in front, listening, and one of two speakers behind."""
