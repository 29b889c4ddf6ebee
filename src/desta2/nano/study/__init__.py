"""`desta2 nano study`: the paper's claims in miniature, each on its own evidence.

`plan` says what is trained and why, `data` makes the pairs, `work` trains and evaluates one run, `pool`
does many side by side, `scores` and `results` put numbers together, `report` writes them down. Data,
training and evaluation are those of every other run: nothing here has a path of its own.
"""
