"""Real orders on Binance: spot and USD-M futures."""
