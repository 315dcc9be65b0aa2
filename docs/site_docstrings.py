"""For the site: the reStructuredText in docstrings becomes Markdown.

Formulas become MathML, which browsers render by themselves. Names in single backquotes, and those
under "See Also", become links if the reference has them.
"""

import re
import textwrap

from griffe import Extension, NameResolutionError, Object
from latex2mathml.converter import convert

NAME = r"[A-Za-z_][\w.]*"
FORMULA = re.compile(r"^(?P<indent> *)\.\. math:: (?P<latex>.*(?:\n(?P=indent) +\S.*)*)", re.M)
INLINE_FORMULA = re.compile(r":math:`([^`]+)`")
SEE_ALSO = re.compile(r"^See Also\n-+\n(?P<names>(?:\S.*\n?|\n(?! *\S+\n *-+\n))+)", re.M)
# A line of a section with a name or a type, and the description indented below it.
TYPE = re.compile(r"^(?P<indent> *)(?P<text>[^\s*-].*[`{].*)(?=\n(?P=indent) +\S)", re.M)
REFERENCE = re.compile(r"^ *\.\. \[(?P<number>\d+)\] (?P<text>.*(?:\n +\S.*)*)", re.M)

STRETCHED_BRACE = '<mo stretchy="true" fence="true" form="prefix">&#x0007B;</mo>'
LARGE_BRACE = (
    '<mpadded voffset="-0.35em"><mo stretchy="false" mathsize="2.2em">&#x0007B;</mo></mpadded>'
)


class Docstrings(Extension):
    """Rewrites docstrings before they are parsed."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value, obj)


def as_markdown(text: str, obj: Object) -> str:
    """Return the docstring of `obj` as Markdown, still with NumPy's sections."""

    def link(name: str) -> str:
        """Return the name as code, with a link if it is in this package."""
        shown = f"<code>{name}</code>"
        try:
            first, *rest = name.split(".")
            path = name if first == "leakyrelu" else ".".join([obj.resolve(first), *rest])
        except NameResolutionError:
            return shown
        if not path.startswith("leakyrelu."):
            return shown
        return f'<autoref identifier="{path}" optional>{shown}</autoref>'

    def see_also(match: re.Match[str]) -> str:
        lines = re.sub(
            rf"^({NAME}) : ", lambda name: f"- {link(name[1])}: ", match["names"], flags=re.M
        )
        return f"See Also\n--------\n{lines}"

    text = FORMULA.sub(
        lambda match: f"\n{match['indent']}{formula(match['latex'], 'block')}\n", text
    )
    # Without the span Markdown takes a formula at the start of a line for a paragraph.
    text = INLINE_FORMULA.sub(lambda match: f"<span>{formula(match[1], 'inline')}</span>", text)
    text = TYPE.sub(lambda match: match["indent"] + plain(match["text"]), text)
    text = SEE_ALSO.sub(see_also, text)
    text = REFERENCE.sub(lambda match: f"{match['number']}. {flat(match['text'])}", text)
    text = re.sub(r"\[(\d+)\]_", r"[\1]", text)
    return re.sub(rf"(?<![`\w])`({NAME})`(?!`)", lambda match: link(match[1]), text)


def plain(text: str) -> str:
    """Return a type without backquotes and braces: braces would make the first the default."""
    text = re.sub(r"(?<= : )\{(.*?)\}", lambda choices: choices[1].replace(", ", " or "), text)
    return text.replace("`", "")


def formula(latex: str, display: str) -> str:
    """Return MathML, in one line."""
    # Without a font for mathematics browsers can't stretch a brace; a large one looks the same.
    return convert(flat(latex), display=display).replace(STRETCHED_BRACE, LARGE_BRACE)


def flat(text: str) -> str:
    """Return the text in one line."""
    return " ".join(textwrap.dedent(text).split())
