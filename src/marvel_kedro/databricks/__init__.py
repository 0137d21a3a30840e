"""The lakehouse: tables of Unity Catalog on Spark, and the endpoint and monitor on Databricks."""
