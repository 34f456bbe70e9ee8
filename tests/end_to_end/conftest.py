from tests.fixtures_lab import short_path

__all__ = ["short_path"]
