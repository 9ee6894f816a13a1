"""What the demo and the service share: their address, their guards and their limits."""
