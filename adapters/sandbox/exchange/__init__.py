"""The sandbox's exchange side: accounts, orders, matching, and what is told of them."""
