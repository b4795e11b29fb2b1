"""CapFilt at any scale: pairs are captioned and filtered by models, shard by shard, each exactly once."""
