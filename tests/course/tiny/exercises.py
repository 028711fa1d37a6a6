"""The exercises: none, for the lesson teaches nothing."""

EXERCISES: tuple = ()
