"""The two faces of all that: for threads and for asyncio."""
