"""What a person is told about an alignment."""
