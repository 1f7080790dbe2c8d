"""penchant: from a table of ratings to a recommender."""

__version__ = "0.1.0"
