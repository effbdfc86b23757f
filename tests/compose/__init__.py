"""The files that make containers, and the books of the test that hurts them. Needs no docker."""
