from tests.fixtures_lab import number, short_path

__all__ = ["number", "short_path"]
