"""The pipelines: options → frozen config → ``build(pipeline, config)`` → run."""
