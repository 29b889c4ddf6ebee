"""The one prompt of the method.

Every training target is an answer to this question; zero-shot instruction following is shown by never
training on any other. Source: DeSTA2, arXiv 2409.20007, section 3.2.
"""

DESCRIBE = "What can you hear from the audio?"
