"""``python -m leakyrelu`` is the same as ``leakyrelu``."""

from leakyrelu._cli import main

if __name__ == "__main__":
    main()
