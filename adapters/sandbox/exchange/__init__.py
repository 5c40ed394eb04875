"""The exchange behind the sandbox: accounts, orders, margin, matching, and account reports."""
