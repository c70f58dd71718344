"""Boxes as a table with named columns: CSV, TSV, Parquet."""
