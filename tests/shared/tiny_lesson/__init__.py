"""A lesson of two means, made to be quick: what the tests of the course stand on."""
