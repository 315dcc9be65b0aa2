"""A matplotlib figure that needs no pyplot and that notebooks display."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

__all__ = ["NotebookFigure"]


class NotebookFigure(Figure):
    """A figure outside pyplot, which would keep it open; notebooks ask it for a PNG."""

    def __init__(self, **options: Any) -> None:
        super().__init__(layout="constrained", **options)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()
