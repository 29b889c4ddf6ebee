"""Speech-IFEval: whether a speech LM still does what it is told (Lu, Kuan & Lee, Interspeech 2025).

Its instructions come in three parts: questions about the clip with a format to be obeyed (closed-ended), free
writing with a constraint (creative), and requests to think step by step (chain-of-thought). The first two are
checked by rule here, offline; the third is read off a judge's answers. Nothing here says whether an answer is
right: that is another score.
"""
