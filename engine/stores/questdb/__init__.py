"""Rows in QuestDB, with exact decimals and candles as materialized views."""
