"""A workflow's plan without a run: what would control each sampler, and when. It loads no model."""
