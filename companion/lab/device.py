from companion.lab.runtime import *  # noqa: F403
from companion.lab.runtime import THREADS  # noqa: F401
