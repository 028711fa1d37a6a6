"""What a maintainer or a teacher runs: `python -m companion`."""
