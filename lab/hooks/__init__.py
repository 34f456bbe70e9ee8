"""What a release runs as hooks in the lab: quick and green, and wrong in every way on demand."""
