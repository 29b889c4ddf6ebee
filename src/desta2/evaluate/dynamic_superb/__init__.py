"""Dynamic-SUPERB, phase 1: many small speech tasks (Huang et al., ICASSP 2024, arXiv 2309.09510).

48 instances (a task on a dataset) are grouped by what has to be heard: content, degradation, paralinguistics,
semantics, speaker. Seven more are about sounds and music; they are scored apart. Which are which is data:
`tasks.yaml`, with the spellings of hubs and older releases in `names.yaml`.
"""
