"""ApeX Omni's protocol on the local exchange."""
