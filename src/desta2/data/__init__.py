"""Everything between raw recordings and training pairs."""
