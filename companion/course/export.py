"""Export: notebooks as HTML pages whose pictures carry their descriptions, with a title and enough contrast."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from companion.course.lessons import write_whole

# nbconvert's own block ignores the description in the output's metadata.
TEMPLATE = """\
{% extends 'lab/index.html.j2' %}
{% block data_png scoped %}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
 alt="{{ output | get_metadata('alt', 'image/png') | escape_html }}">
</div>
{% endblock data_png %}
{% block html_head_css %}{{ super() }}<style>LEGIBLE</style>{% endblock html_head_css %}
"""
NO_HEAD = re.compile(r"<th(\s[^>]*)?></th>")  # a table's head without words is no head to a screen reader
# nbconvert's own colours of prompts and code, and links without a line, are too faint for many eyes (WCAG 2.1, AA);
# and on a narrow or zoomed page it cuts long lines of code off.
LEGIBLE = """\
.jp-InputPrompt, .jp-OutputPrompt { color: #595959 !important; opacity: 1 !important }
.jp-RenderedHTMLCommon a { text-decoration: underline !important }
.highlight pre, .jp-OutputArea-output pre { white-space: pre-wrap !important; overflow-wrap: anywhere }
.highlight .ow { color: #8a00d4 }
.highlight .c, .highlight .c1, .highlight .cm { color: #336b6b }
.highlight .m, .highlight .mi, .highlight .mf, .highlight .mh, .highlight .o { color: #006b00 }
"""


def export(notebooks: list[Path], folder: Path) -> list[Path]:
    """Write each executed notebook as one HTML page into a folder."""
    loader = DictLoader({"described.html.j2": TEMPLATE.replace("LEGIBLE", LEGIBLE)})
    exporter = HTMLExporter(extra_loaders=[loader], template_file="described.html.j2")
    pages = []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": _title(notebook, path)}})
        pages.append(folder / f"{path.stem}.html")
        write_whole(pages[-1], NO_HEAD.sub(r"<td\1></td>", page))
    return pages


def _title(notebook: NotebookNode, path: Path) -> str:
    """What the notebook's first heading says, or else its file's name."""
    found = re.search(
        r"^# +(.+)", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), re.MULTILINE
    )
    return found[1].strip() if found else path.stem
