"""``python -m leakyrelu`` is the same as ``leakyrelu``."""

from leakyrelu.cli import main

main()
