"""The loop: which object is looked at when, and what becomes of its plan. Knows no kind."""
