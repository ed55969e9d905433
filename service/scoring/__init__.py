"""Many photographs into one archive of rows: from folders, lists, Parquet and object stores; here or on Ray."""
