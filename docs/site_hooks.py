"""For the site: pages from elsewhere in the repository, links to them, and the command line's help.

Pages have relative links that work in the repository. The site has the pages of ``docs/`` at its
root and everything else where the repository has it, so links between the two are rewritten.
"""

import logging
import posixpath
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
ELSEWHERE = [
    "benchmarks/README.md",
    "benchmarks/functions.svg",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "examples/digits.py",
    "notebooks/leaky_relu.ipynb",
]
LINK = re.compile(r"(?<=\]\()(?P<path>[\w./-]+)(?=[#)])")
log = logging.getLogger("mkdocs.site_hooks")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    for path in ELSEWHERE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite links between ``docs/`` and elsewhere; show examples as sessions."""
    here = page.file.src_uri
    folder = posixpath.dirname(here if here in ELSEWHERE else f"docs/{here}")

    def on_the_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link["path"]))
        if not (ROOT / target).is_file():
            return link["path"]
        target = target.removeprefix("docs/")
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    markdown = LINK.sub(on_the_site, markdown)
    if "<!-- leakyrelu --help -->" in markdown:
        markdown = markdown.replace("<!-- leakyrelu --help -->", command_line())
    return re.sub(r"^( *)```python\n(?=\1>>> )", r"\1```pycon\n", markdown, flags=re.M)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Warn of reStructuredText that was left over."""
    for left in re.findall(r":math:|\.\. \w+::|\.\. \[\d", html):
        log.warning("%s has %r from a docstring", page.file.src_uri, left)
    return html


def command_line() -> str:
    """Return the help of all commands, as Markdown."""
    command = [sys.executable, "-m", "typer", "leakyrelu._cli", "utils", "docs", "--name=leakyrelu"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return text[text.index("\n## ") :]
