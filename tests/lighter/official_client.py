"""Trades on a sandbox with the venue's own client, unchanged but for its address: a program of its own.

Called by `test_sandbox_orders.py` with the Python that has lighter-sdk: ADDRESS ACCOUNT KEY PRIVATE. Prints
"traded".
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any


async def main(url: str, account: int, index: int, private: str) -> None:
    """Buy, rest, change, cancel, protect and close; an answer that is wrong raises AssertionError."""
    import lighter

    client = lighter.SignerClient(url=url, account_index=account, api_private_keys={index: private})
    api = lighter.ApiClient(lighter.Configuration(host=url))
    orders, accounts = lighter.OrderApi(api), lighter.AccountApi(api)
    assert client.check_client() is None

    def token() -> str:
        made, error = client.create_auth_token_with_expiry(api_key_index=index)
        assert error is None, error
        return made

    async def active() -> list[Any]:
        return (await orders.account_active_orders(token(), account, market_id=0)).orders

    async def position() -> float:
        (found,) = (await accounts.account(by="index", value=str(account))).accounts
        return sum(one.sign * float(one.position) for one in found.positions)

    def done(answer: tuple[Any, Any, Any]) -> Any:
        made, sent, error = answer
        assert error is None, error
        assert sent.code == 200, sent
        assert sent.tx_hash
        return made

    try:
        book = await orders.order_book_orders(0, 5)
        bid, ask = (int(side[0].price.replace(".", "")) for side in (book.bids, book.asks))
        done(await client.create_market_order(0, 1, 2_000, ask + ask // 100, False))
        assert await position() > 0
        done(
            await client.create_order(
                *(0, 2, 2_000, bid * 9 // 10, False),
                client.ORDER_TYPE_LIMIT,
                client.ORDER_TIME_IN_FORCE_POST_ONLY,
            )
        )
        (rest,) = await active()
        assert (rest.client_order_index, rest.status, rest.time_in_force) == (2, "open", "post-only")
        done(await client.modify_order(0, 2, 3_000, bid * 9 // 10, 0))
        (rest,) = await active()
        assert rest.base_size == 3_000
        low = bid * 8 // 10
        done(await client.create_sl_order(0, 3, 2_000, low, low * 9 // 10, True, reduce_only=True))
        found = {one.client_order_index: one for one in await active()}
        assert (found[3].status, found[3].trigger_status, found[3].type) == (
            "pending",
            "mark-price",
            "stop-loss",
        )
        done(await client.cancel_order(0, rest.order_index))
        done(await client.cancel_order(0, 3))
        assert await active() == []
        done(await client.create_market_order(0, 4, 2_000, bid - bid // 100, True, reduce_only=True))
        assert await position() == 0
        ended = (await orders.account_inactive_orders(token(), account, 100)).orders
        assert [one.status for one in ended] == ["filled", "canceled", "canceled", "filled"]
        traded = (await orders.trades("timestamp", 100, authorization=token(), account_index=account)).trades
        assert {one.bid_client_id or one.ask_client_id for one in traded} == {1, 4}
        _, _, error = await client.create_market_order(9, 5, 2_000, ask, False)
        assert "invalid market index" in error, error
        done(await client.update_leverage(0, client.CROSS_MARGIN_MODE, 10))
        done(await client.cancel_all_orders(client.CANCEL_ALL_TIF_IMMEDIATE, 0))
        client.nonce_manager.nonce[index] += 5
        _, _, error = await client.create_market_order(0, 6, 2_000, ask * 2, False)
        assert "invalid nonce" in error, error
    finally:
        await client.close()
        await api.close()
    print("traded")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
