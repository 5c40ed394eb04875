"""What the tests of Binance's gateway share: keys, limits."""

from __future__ import annotations

from adapters.transport.governor import Limits, Rate

__all__ = ["API_KEY", "BASE_URL", "LIMITS", "SECRET"]

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"

BASE_URL = "http://127.0.0.1:1"

LIMITS = Limits(Rate(100_000), Rate(1000), Rate(1000), 50, 1000, 100, (Rate(300, 10), Rate(1200)))
