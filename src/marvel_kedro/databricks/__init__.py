"""The lakehouse: tables of Unity Catalog on Spark, and the project as a job on Databricks."""
