"""How a speaker's next-token distributions become texts; knows the ability, never a model."""
