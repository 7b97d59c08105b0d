"""What several systems train with."""
