"""Quality filters over pairs: one short file for each, `stage.check` runs them."""
