"""Sources of posts, behind one interface: a transform from the pipeline's root to a collection of ``RawBatch``."""
