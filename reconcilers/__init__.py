"""One vertical slice a kind, and the contract between them and the engine."""
