"""Networks: backbones, heads, and both together."""
