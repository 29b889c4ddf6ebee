"""Text dominance: whether a model that gets a transcript beside the audio listens to the audio at all."""
