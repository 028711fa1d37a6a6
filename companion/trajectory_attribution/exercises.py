"""x."""

EXERCISES = ()
