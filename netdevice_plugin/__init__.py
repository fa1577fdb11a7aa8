"""Hand real network interfaces to pods and containers, and bring them home."""
