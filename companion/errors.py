"""The one error a learner is meant to read."""


class CompanionError(Exception):
    """An error whose message is one clear sentence: what was given, what is allowed, what to do."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the sentence, without the stack above it."""
        return [f"{type(self).__name__}: {self}"]


class DataMissing(CompanionError):
    """A data set that the user must bring is not here."""
