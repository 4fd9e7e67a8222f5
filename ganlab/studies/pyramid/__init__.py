"""Semantic pyramids: quality by level, and images edited through their features."""
