"""The web chat: `desta2 ui`."""
