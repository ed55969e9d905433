"""Score many photographs into one archive of rows: from folders, lists, Parquet and object stores; locally or on Ray."""
