"""What all results have in common: a sentence, a table, and a page of both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from leakyrelu._data.files import replacing
from leakyrelu._errors import needed_for

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Result", "counted", "table_of"]

_BARS = {"dead %": "#d9731a", "stuck negative %": "#8fb8d8", "dormant %": "#e3c08f"}


class Result(ABC):
    """A result that can be printed, tabulated, and written to a file."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """The result in a sentence."""

    @abstractmethod
    def table(self) -> pd.DataFrame:
        """Return one row for each layer."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the whole result as plain types, for `json.dump`."""

    @overload
    def to_html(self, path: None = None) -> str: ...
    @overload
    def to_html(self, path: str | Path) -> None: ...
    def to_html(self, path: str | Path | None = None) -> str | None:
        """Write a page with the table that needs no other file; return it, if there is no path."""
        page = _page(self.table(), self.summary)
        if path is None:
            return page
        with replacing(Path(path)) as part:
            part.write_text(page, encoding="utf-8")
        return None

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        return self.summary

    def _table_text(self) -> str:
        return self.table().to_string(index=False, float_format=lambda value: f"{value:.3g}")


def counted(number: int, noun: str) -> str:
    """Return the number with its noun, as in ``"1 unit"`` or ``"3 units"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table_of(rows: Sequence[dict[str, Any]], columns: list[str] | None = None) -> pd.DataFrame:
    """Return the rows as a DataFrame."""
    with needed_for("a table", "compare"):
        import pandas as pd
    return pd.DataFrame(rows, columns=columns)


def _page(table: pd.DataFrame, summary: str) -> str:
    percents: list[Hashable] = [name for name in table.columns if name.endswith("%")]
    style = table.style.set_uuid("health").hide(axis="index").set_caption(summary)
    style = style.format(na_rep="-", precision=1, subset=percents)
    rest = table.select_dtypes("float").columns.difference(percents)
    style = style.format("{:.3g}", na_rep="-", subset=list(rest))
    for name, color in _BARS.items():
        if name in percents:
            style = style.bar(subset=[name], color=color, vmin=0, vmax=100, height=70)
    style = style.set_table_styles(
        [
            {"selector": "", "props": "font: 14px system-ui, sans-serif; border-spacing: 0"},
            {"selector": "caption", "props": "text-align: left; font-weight: 600; padding: 8px"},
            {"selector": "th, td", "props": "padding: 4px 10px; text-align: right"},
            {"selector": "th", "props": "border-bottom: 1px solid #888; font-weight: 600"},
            {"selector": ".col0, .col1", "props": "text-align: left"},
        ]
    )
    page: str = style.to_html(doctype_html=True)
    return page
