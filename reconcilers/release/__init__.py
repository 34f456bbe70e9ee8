"""Release: a version for a set of services, in lockstep, and the way back."""
