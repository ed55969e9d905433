"""Score many photographs into an archive of rows: from folders, lists, Parquet, object stores; locally or on Ray."""
