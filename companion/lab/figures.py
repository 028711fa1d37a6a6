from companion.lab.plots import *  # noqa: F403
from companion.lab.plots import check_alt, png, show, use_style, INK, MARKERS, DASHES, DPI, LARGEST_BYTES, SMALLEST_ALT  # noqa: F401
