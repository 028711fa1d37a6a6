"""The one error a learner is meant to read."""


class CompanionError(Exception):
    """An error whose message is one clear sentence: what was given, what is allowed, what to do."""
