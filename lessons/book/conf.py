"""Settings of Sphinx for the book; see `python -m lessons.book`."""

from importlib.util import find_spec
from pathlib import Path

# Equations are set by MathJax in the browser. One file of it goes along, so that the pages need no network.
MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg.js"

project = "ATRank, from equation to code"
extensions = ["myst_nb", "sphinx.ext.mathjax"]
myst_enable_extensions = ["attrs_block", "dollarmath"]
myst_heading_anchors = 3  # headings down to ### can be linked to, by the names that GitHub gives them
nb_execution_mode = "off"  # the notebooks come with their outputs
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
mathjax_path = MATHJAX.name
mathjax3_config = {"svg": {"scale": 0.92}}  # as high as the letters of the text
html_theme = "furo"
html_title = project
html_static_path = [str(MATHJAX), "book.css"]
html_css_files = ["book.css"]
html_copy_source = html_use_index = html_show_copyright = False
