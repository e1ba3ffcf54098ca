"""Vectors of a whole archive: pictures or a video in, Parquet files out, by any number of programs side by side."""
