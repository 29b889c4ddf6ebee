"""`desta2 build`: the stages of data construction in one go, from one config, into one work folder.

Trade-off: no build system and no database, but a small stamp beside each stage's output that says what it was
made from. The stages resume by themselves (`journal`); the stamps only decide whether a stage has to run.
What a changed config makes untrue is never deleted: it is moved aside, and only when asked.
"""

from desta2.data.build.config import load_build
from desta2.data.build.run import Step, build

__all__ = ["Step", "build", "load_build"]
