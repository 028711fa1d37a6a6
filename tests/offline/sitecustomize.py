"""Python imports this by itself at start-up, wherever this folder is on PYTHONPATH."""

import network_denied  # noqa: F401
