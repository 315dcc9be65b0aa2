"""``python -m leakyrelu`` is the same as ``leakyrelu``."""

from leakyrelu._cli import main

main()
