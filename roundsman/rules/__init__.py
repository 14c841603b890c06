"""What follows from what: judgements on records, without clock, network or settings."""
