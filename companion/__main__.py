"""`python -m companion`."""

from companion.course.cli import main

if __name__ == "__main__":
    main()
