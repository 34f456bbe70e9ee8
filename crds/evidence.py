"""Evidence: what a release has counted, and what its detectors make of it."""

from crds.meta import Model


class Evidence(Model):
    """One entry's evidence."""
