"""One module an outside system: session, deadline, concurrency, error mapping. Nothing is retried here."""
