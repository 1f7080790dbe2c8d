"""From files and frames to Interactions and Splits. The only home of polars and narwhals."""
