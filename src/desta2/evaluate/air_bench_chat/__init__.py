"""AIR-Bench-Chat: free answers to questions about audio, compared with a reference by an LLM.

The benchmark is that of Yang et al., "AIR-Bench: Benchmarking Large Audio-Language Models via Generative
Comprehension" (ACL 2024, arXiv 2402.07729). Nothing in its scores is absolute: another judge, or another
prompt, gives other numbers, so both are part of every result.
"""
