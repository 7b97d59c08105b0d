"""What several systems train with: ascents, policies that see the time, policy steps."""
