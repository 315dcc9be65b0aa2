"""The experiment: its data, networks, training, engines, statistics and store.

Results are data here; `leakyrelu._report` makes words of them.
"""
