"""The `ab_test` pipeline: comparison of served entities with the champion."""
